//! What stands in the two files of the command line: contexts, which are no secret, and the credentials that belong to them.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// The context that holds when none is named; it need not be written down.
pub const DEFAULT: &str = "default";
/// The version of both files that this program reads and writes.
const VERSION: u32 = 1;
/// Longest name of a context.
const MAX_NAME: usize = 63;
/// Contexts at most.
const MAX_CONTEXTS: usize = 1_000;

/// `contexts.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contexts {
    version: u32,
    /// The one that holds when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// By name.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// One system that commands can be about. What is not set has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Address of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Address of the definitions service, where it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definitions_server: Option<String>,
    /// The namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// A file that holds the credential, where it is not the one that `nexus login` keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_file: Option<PathBuf>,
    /// Roots that the server's certificate is verified with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// A certificate for servers that ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<PathBuf>,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    /// The name that the server's certificate must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
}

/// `credentials.yaml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    version: u32,
    /// By the context that each belongs to.
    #[serde(default)]
    pub credentials: BTreeMap<String, Stored>,
}

/// A credential that `nexus login` was given. It is shown to the servers that it was made for, and to no other.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// The addresses that it is for, as they were when it was given.
    pub servers: Vec<String>,
    /// What is shown.
    #[serde(serialize_with = "exposed")]
    pub token: SecretString,
    /// Whose it is, as an identity's subject.
    #[serde(default)]
    pub subject: String,
    /// When it ends (RFC 3339); empty when it does not.
    #[serde(default)]
    pub expire_time: String,
}

/// The one place in which the secret is written down.
fn exposed<S: Serializer>(token: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose_secret())
}

impl Default for Contexts {
    fn default() -> Self {
        Self {
            version: VERSION,
            current: None,
            contexts: BTreeMap::new(),
        }
    }
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            version: VERSION,
            credentials: BTreeMap::new(),
        }
    }
}

/// A file of the command line, as to what both have.
pub trait Versioned {
    /// Why this program cannot use it.
    fn problem(&self) -> Option<String>;
}

fn other_version(version: u32) -> Option<String> {
    (version != VERSION).then(|| format!("it has version {version}, and this program knows version {VERSION}"))
}

impl Versioned for Contexts {
    fn problem(&self) -> Option<String> {
        let wrong = self.contexts.keys().find(|name| check_name(name).is_err());
        let wrong = wrong.map(|name| format!("{name:?} is no name of a context"));
        let many = self.contexts.len() > MAX_CONTEXTS;
        let many = many.then(|| format!("it has more than {MAX_CONTEXTS} contexts"));
        other_version(self.version).or(wrong).or(many)
    }
}

impl Versioned for Credentials {
    fn problem(&self) -> Option<String> {
        other_version(self.version)
    }
}

/// Checks the name of a context.
///
/// # Errors
/// With what is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && name.len() <= MAX_NAME && name.bytes().all(plain) {
        return Ok(());
    }
    Err(format!(
        "a context's name is letters, digits, -, _ and ., begins with a letter or digit and has at most {MAX_NAME}"
    ))
}

/// The servers that an address names, each in one form: what two addresses mean can then be compared.
pub fn servers(address: &str) -> BTreeSet<String> {
    let named = address.split(',').map(str::trim).filter(|part| !part.is_empty());
    named.map(one_form).collect()
}

fn one_form(address: &str) -> String {
    let text = address.trim_end_matches('/').to_ascii_lowercase();
    let (scheme, host) = text.split_once("://").unwrap_or(("", &text));
    let port = match scheme {
        "http" => "80",
        "https" => "443",
        _ => "",
    };
    let named = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    if named { text } else { format!("{text}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_mean_the_same_servers_are_equal_and_others_are_not() {
        let same = [
            ("http://H:80", "http://h"),
            ("https://h/", "HTTPS://h:443"),
            ("http://a:1, http://b:1", "http://b:1,http://a:1"),
            ("http://[::1]", "http://[::1]:80"),
        ];
        for (one, other) in same {
            assert_eq!(servers(one), servers(other), "{one} {other}");
        }
        for (one, other) in [
            ("http://h", "https://h"),
            ("http://h:80", "http://h:81"),
            ("http://h", "http://h.example"),
            ("http://[::1]:1", "http://[::1]"),
        ] {
            assert_ne!(servers(one), servers(other), "{one} {other}");
        }
    }

    #[test]
    fn names_of_contexts_are_checked() {
        for name in ["prod", "eu-1.staging_b", "A"] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in ["", "-x", ".", "a b", "a/b", &"x".repeat(64)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        assert_eq!(check_name(&"x".repeat(63)), Ok(()));
    }

    #[test]
    fn a_secret_is_written_to_its_file_and_shown_nowhere() {
        let mut credentials = Credentials::default();
        let stored = Stored {
            servers: vec!["http://h:1".into()],
            token: SecretString::from("nxs_hush".to_owned()),
            subject: "user:anna".into(),
            expire_time: String::new(),
        };
        credentials.credentials.insert("prod".into(), stored);
        assert!(!format!("{credentials:?}").contains("hush"));
        let text = serde_saphyr::to_string(&credentials).expect("yaml");
        assert!(text.contains("nxs_hush"));
        let read: Credentials = serde_saphyr::from_str(&text).expect("read");
        assert_eq!(read.credentials["prod"].token.expose_secret(), "nxs_hush");
    }

    #[test]
    fn other_versions_and_names_that_are_none_are_refused() {
        let read = |text: &str| serde_saphyr::from_str::<Contexts>(text).expect(text);
        assert!(
            read("version: 2\ncontexts: {}\n")
                .problem()
                .expect("refused")
                .contains('2')
        );
        assert!(read("version: 1\ncontexts: {'a b': {}}\n").problem().is_some());
        assert_eq!(
            read("version: 1\ncontexts: {a: {server: 'http://h:1'}}\n").problem(),
            None
        );
    }
}
