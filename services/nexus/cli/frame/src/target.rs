//! What a command is about: the servers, the namespace, and the credential that is shown to them and to nobody else.

use std::collections::BTreeSet;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use nexus_api::Namespace;
use nexus_mesh::Transport;
use nexus_mesh::tls::{ClientTls, TlsFiles};
use nexus_mesh::transport::{ClientOptions, connect, connect_balanced, in_namespace};
use secrecy::{ExposeSecret, SecretString};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

use super::args::Global;
use super::error::CliError;
use super::settings::contexts::{Stored, servers};
use super::settings::folder::{self, Folder};
use super::settings::{Credential, DEFAULT_ADDRESS, Origin, Settings, environment};

/// What a command is about.
#[derive(Debug, Clone)]
pub struct Target {
    /// What holds.
    pub settings: Settings,
    held: Option<Held>,
}

/// A credential, and whom it is for.
#[derive(Debug, Clone)]
struct Held {
    secret: SecretString,
    /// The servers that it may be shown to; any that the command names when it was given with the command.
    servers: Option<BTreeSet<String>>,
    /// How people call it.
    called: String,
}

impl Target {
    /// What holds by flags, environment and context, without a credential.
    ///
    /// # Errors
    /// When the context is unknown or cannot be read.
    pub fn open(global: &Global) -> Result<Self, CliError> {
        let contexts = Folder::of(&environment).contexts()?;
        let settings = Settings::resolve(global, &environment, &contexts)?;
        Ok(Self { settings, held: None })
    }

    /// The same with the credential that holds, if there is one.
    ///
    /// # Errors
    /// When it cannot be read, or others can read it.
    pub fn resolve(global: &Global) -> Result<Self, CliError> {
        let mut target = Self::open(global)?;
        target.held = target.hold(&Folder::of(&environment))?;
        Ok(target)
    }

    fn hold(&self, folder: &Folder) -> Result<Option<Held>, CliError> {
        let settings = &self.settings;
        let context = &settings.context.value;
        Ok(match &settings.credential.value {
            Credential::Given(secret) => Some(Held {
                secret: secret.clone(),
                servers: None,
                called: format!("the key of {}", settings.credential.origin),
            }),
            Credential::File(path) => Some(Held {
                secret: folder::credential(path)?,
                servers: Some(self.of_context()),
                called: format!("the credential in {}", path.display()),
            }),
            Credential::Kept => {
                let mut credentials = folder.credentials()?.credentials;
                credentials.remove(context).map(|stored| held(context, stored))
            }
        })
    }

    /// The servers of the context itself, whatever this command is about.
    fn of_context(&self) -> BTreeSet<String> {
        let written = &self.settings.written;
        let mut named = servers(written.server.as_deref().unwrap_or(DEFAULT_ADDRESS));
        named.extend(written.definitions_server.as_deref().map(servers).unwrap_or_default());
        named
    }

    /// Address of the server.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.settings.address.value
    }

    /// The namespace that the command is about.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.settings.namespace.value
    }

    /// The ways to the definitions service and to the others, about the command's namespace.
    pub fn ways(&self) -> Result<(Transport, Transport), CliError> {
        let named = |way| match self.settings.namespace.origin {
            // Where nobody has said it, the credential may: the server takes its only one.
            Origin::Default => way,
            _ => in_namespace(way, self.namespace()),
        };
        let others = named(self.way()?);
        let definitions = match &self.settings.definitions_address.value {
            Some(address) => named(self.shown_to(address)?),
            None => others.clone(),
        };
        Ok((definitions, others))
    }

    /// The way to the server, about no namespace.
    pub fn way(&self) -> Result<Transport, CliError> {
        self.shown_to(self.address())
    }

    /// The way to the server without the credential.
    ///
    /// # Errors
    /// When the address is none, or certificates cannot be read.
    pub fn anonymous(&self) -> Result<Transport, CliError> {
        self.transport(self.address())
    }

    fn shown_to(&self, address: &str) -> Result<Transport, CliError> {
        let way = self.transport(address)?;
        match &self.held {
            Some(held) if held.may_be_shown_to(address) => with_credential(way, held),
            _ => Ok(way),
        }
    }

    /// True when calls to the server are made with a credential.
    pub fn is_authenticated(&self) -> bool {
        self.held
            .as_ref()
            .is_some_and(|held| held.may_be_shown_to(self.address()))
    }

    /// The credential in words, or why there is none.
    pub fn credential(&self) -> String {
        match &self.held {
            None => "none".to_owned(),
            Some(held) if held.may_be_shown_to(self.address()) => held.called.clone(),
            Some(held) => format!("not shown: {}", held.withheld(self.address())),
        }
    }

    /// What to do when the server does not take the caller for anybody.
    pub fn advice(&self) -> String {
        let login = match self.settings.context.value.as_str() {
            super::settings::contexts::DEFAULT => "`nexus login`".to_owned(),
            context => format!("`nexus login --context {context}`"),
        };
        match (&self.held, &self.settings.credential.value) {
            (Some(held), _) if !held.may_be_shown_to(self.address()) => {
                format!(
                    "{}; log in there with a context of its own",
                    held.withheld(self.address())
                )
            }
            (Some(held), Credential::Kept) => format!("{} has ended; log in again with {login}", held.called),
            (Some(held), _) => {
                format!(
                    "{} is not accepted: is it of this server, and neither ended nor revoked?",
                    held.called
                )
            }
            (None, _) => format!("log in with {login}, or give an API key with NEXUS_API_KEY"),
        }
    }

    /// A way to a server. Over TLS with the roots and the certificate that the environment or the context name; with the
    /// public roots when they name none.
    fn transport(&self, address: &str) -> Result<Transport, CliError> {
        if address.contains(',') && !address.contains("https://") {
            let connected = connect_balanced(address, &ClientOptions::default());
            return connected.map_err(|error| CliError::Usage(error.to_string()));
        }
        if !address.starts_with("https://") {
            return connect(address).map_err(|_| {
                CliError::Usage(format!(
                    "--address must be a URL such as http://127.0.0.1:7070, not `{address}`"
                ))
            });
        }
        let files = TlsFiles {
            cert: self.settings.client_cert.value.clone(),
            key: self.settings.client_key.value.clone(),
            ca: self.settings.ca.value.clone(),
            require_client_cert: false,
            server_name: self.settings.tls_server_name.value.clone(),
        };
        let tls = ClientTls::load(&files).map_err(|error| CliError::Usage(error.to_string()))?;
        let options = ClientOptions {
            tls: Some(tls),
            ..ClientOptions::default()
        };
        connect_balanced(address, &options).map_err(|error| CliError::Usage(error.to_string()))
    }
}

fn held(context: &str, stored: Stored) -> Held {
    let whose = match stored.subject.as_str() {
        "" => String::new(),
        subject => format!(" of {subject}"),
    };
    Held {
        secret: stored.token,
        servers: Some(stored.servers.iter().flat_map(|address| servers(address)).collect()),
        called: format!("the session{whose} in context {context}"),
    }
}

impl Held {
    fn may_be_shown_to(&self, address: &str) -> bool {
        let allowed = |servers_of_it: &BTreeSet<String>| servers(address).is_subset(servers_of_it);
        self.servers.as_ref().is_none_or(allowed)
    }

    fn withheld(&self, address: &str) -> String {
        let own: Vec<&str> = self.servers.iter().flatten().map(String::as_str).collect();
        format!("{} is for {} and not for {address}", self.called, own.join(", "))
    }
}

/// A way whose calls show a credential, unless they show one already.
fn with_credential(way: Transport, held: &Held) -> Result<Transport, CliError> {
    let text = format!("Bearer {}", held.secret.expose_secret());
    // The error would be about the value; it is not told.
    let mut header = HeaderValue::try_from(text)
        .map_err(|_| CliError::Usage(format!("{} has characters that no credential has", held.called)))?;
    header.set_sensitive(true);
    let shown = way.map_request(move |mut request: http::Request<tonic::body::Body>| {
        request
            .headers_mut()
            .entry(AUTHORIZATION)
            .or_insert_with(|| header.clone());
        request
    });
    Ok(BoxCloneSyncService::new(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(servers_of_it: Option<&[&str]>) -> Held {
        Held {
            secret: SecretString::from("hush\n".to_owned()),
            servers: servers_of_it.map(|named| named.iter().flat_map(|address| servers(address)).collect()),
            called: "the session of user:anna".to_owned(),
        }
    }

    #[test]
    fn a_credential_is_for_its_servers_alone() {
        let bound = held(Some(&["https://a:443", "https://b"]));
        for own in ["https://a", "https://b:443/", "https://a,https://b"] {
            assert!(bound.may_be_shown_to(own), "{own}");
        }
        for other in [
            "http://a",
            "https://c",
            "https://a,https://c",
            "https://a.evil",
            "https://a:444",
        ] {
            assert!(!bound.may_be_shown_to(other), "{other}");
            assert!(bound.withheld(other).contains(other));
        }
        assert!(held(None).may_be_shown_to("http://anywhere:1"));
    }

    #[tokio::test]
    async fn a_credential_that_is_none_is_refused_without_being_shown() {
        let way = connect("http://127.0.0.1:1").expect("way");
        let error = with_credential(way, &held(None)).expect_err("a line break").report();
        assert!(error.contains("user:anna") && !error.contains("hush"), "{error}");
    }
}
