//! Where secrets and connections come from: the worker's environment and one file. They never travel further than the
//! attempt that names them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Deserialize;

use crate::outcome::Failure;

const SECRET_PREFIX: &str = "NEXUS_SECRET_";
const CONNECTION_PREFIX: &str = "NEXUS_CONNECTION_";

/// A secret or connection cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Nobody set it.
    #[error("{what} `{name}` is not set: looked for {places}")]
    Missing {
        /// `secret` or `connection`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Where it was looked for.
        places: String,
    },
    /// The file cannot be read or understood.
    #[error("the secrets file {path} cannot be read: {problem}")]
    File {
        /// The file.
        path: String,
        /// Why; never quotes the file's content.
        problem: String,
    },
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        let error_type = match error {
            SecretError::Missing { what: "connection", .. } => "ConnectionMissing",
            SecretError::Missing { .. } => "SecretMissing",
            SecretError::File { .. } => "SecretsFile",
        };
        Self::new(error_type, error.to_string()).final_()
    }
}

/// A secrets file's content. Names are lower-case.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    secrets: HashMap<String, String>,
    #[serde(default)]
    connections: HashMap<String, String>,
}

/// What identifies a version of the file.
type Stamp = (SystemTime, u64);

/// Looks secrets and connections up: first in the environment, then in the file, which is read again when it changed.
pub struct SecretStore {
    env: HashMap<String, String>,
    file: Option<PathBuf>,
    cache: Mutex<Option<(Stamp, Content)>>,
}

// Values must not reach a log through `{:?}`.
impl std::fmt::Debug for SecretStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretStore")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl SecretStore {
    /// A store over the process's environment.
    #[must_use]
    pub fn from_env() -> Self {
        Self::new(
            std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))),
            None,
        )
    }

    /// A store over these variables and a file: JSON (`{"secrets": {…}, "connections": {…}}`) when its name ends in
    /// `.json`, otherwise lines `NAME=value`, where `NEXUS_CONNECTION_` marks a connection and everything else is a
    /// secret with or without `NEXUS_SECRET_`.
    #[must_use]
    pub fn new(env: impl IntoIterator<Item = (String, String)>, file: Option<PathBuf>) -> Self {
        let wanted = |key: &String| key.starts_with(SECRET_PREFIX) || key.starts_with(CONNECTION_PREFIX);
        Self {
            env: env.into_iter().filter(|(key, _)| wanted(key)).collect(),
            file,
            cache: Mutex::new(None),
        }
    }

    /// The same store with a file.
    #[must_use]
    pub fn with_file(mut self, file: Option<PathBuf>) -> Self {
        self.file = file;
        self
    }

    /// The value of a secret.
    ///
    /// # Errors
    /// When nobody set it, or the file cannot be read.
    pub fn secret(&self, name: &str) -> Result<String, SecretError> {
        self.find("secret", SECRET_PREFIX, name, |content| &content.secrets)
    }

    /// The address of a connection.
    ///
    /// # Errors
    /// When nobody set it, or the file cannot be read.
    pub fn connection(&self, name: &str) -> Result<String, SecretError> {
        self.find("connection", CONNECTION_PREFIX, name, |content| &content.connections)
    }

    fn find(
        &self,
        what: &'static str,
        prefix: &str,
        name: &str,
        part: impl Fn(&Content) -> &HashMap<String, String>,
    ) -> Result<String, SecretError> {
        let variable = format!("{prefix}{}", name.to_ascii_uppercase());
        if let Some(value) = self.env.get(&variable) {
            return Ok(value.clone());
        }
        let mut places = format!("the environment variable {variable} of the worker");
        if let Some(file) = &self.file {
            if let Some(value) = part(&self.content(file)?).get(&name.to_ascii_lowercase()) {
                return Ok(value.clone());
            }
            places.push_str(&format!(" and the file {}", file.display()));
        }
        let name = name.to_owned();
        Err(SecretError::Missing { what, name, places })
    }

    fn content(&self, file: &Path) -> Result<Content, SecretError> {
        let fail = |problem: String| SecretError::File {
            path: file.display().to_string(),
            problem,
        };
        let meta = std::fs::metadata(file).map_err(|error| fail(error.to_string()))?;
        let stamp = (meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len());
        let mut cache = self.cache.lock();
        if let Some((seen, content)) = cache.as_ref()
            && *seen == stamp
        {
            return Ok(content.clone());
        }
        let text = std::fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
        let content = if file.extension().is_some_and(|extension| extension == "json") {
            // serde_json's messages can quote values, so only the place is told.
            serde_json::from_str(&text).map(lower_case).map_err(|error| {
                fail(format!(
                    "line {} column {}: not the expected JSON",
                    error.line(),
                    error.column()
                ))
            })?
        } else {
            parse_lines(&text).map_err(fail)?
        };
        *cache = Some((stamp, content.clone()));
        Ok(content)
    }
}

fn lower_case(content: Content) -> Content {
    let lower = |map: HashMap<String, String>| map.into_iter().map(|(k, v)| (k.to_ascii_lowercase(), v)).collect();
    Content {
        secrets: lower(content.secrets),
        connections: lower(content.connections),
    }
}

/// Reads `NAME=value` lines: `#` starts a comment line, `export ` is allowed, quotes around a value are taken off and
/// double quotes know `\n`, `\"` and `\\`.
fn parse_lines(text: &str) -> Result<Content, String> {
    let mut content = Content::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| format!("line {}: no `=`", index + 1))?;
        let key = key.trim();
        let value = unquote(value.trim());
        match key.strip_prefix(CONNECTION_PREFIX) {
            Some(name) => content.connections.insert(name.to_ascii_lowercase(), value),
            None => {
                let name = key.strip_prefix(SECRET_PREFIX).unwrap_or(key);
                content.secrets.insert(name.to_ascii_lowercase(), value)
            }
        };
    }
    Ok(content)
}

fn unquote(value: &str) -> String {
    let inner = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(plain) = inner('\'') {
        return plain.to_owned();
    }
    let Some(quoted) = inner('"') else {
        return value.to_owned();
    };
    let mut out = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_goes_before_the_file_and_the_file_is_read_again() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("secrets.env");
        std::fs::write(
            &file,
            "# note\nexport API_KEY=\"a\\nb\"\nNEXUS_SECRET_TOKEN='from file'\nNEXUS_CONNECTION_WH=sqlite::memory:\n",
        )
        .expect("write");
        let env = [("NEXUS_SECRET_TOKEN".to_owned(), "from env".to_owned())];
        let store = SecretStore::new(env, Some(file.clone()));
        assert_eq!(store.secret("token").expect("token"), "from env");
        assert_eq!(store.secret("api_key").expect("key"), "a\nb");
        assert_eq!(store.connection("wh").expect("wh"), "sqlite::memory:");
        std::fs::write(&file, "API_KEY=rotated-value").expect("write");
        assert_eq!(store.secret("API_KEY").expect("key"), "rotated-value");
        assert!(!format!("{store:?}").contains("from env"));
    }

    #[test]
    fn what_is_missing_says_where_it_was_looked_for() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("s.json");
        std::fs::write(&file, r#"{"secrets": {"Known": "x"}}"#).expect("write");
        let store = SecretStore::new([], Some(file));
        assert_eq!(store.secret("known").expect("known"), "x");
        let failure = Failure::from(store.secret("orders_api").expect_err("missing"));
        assert_eq!(failure.error_type, "SecretMissing");
        assert!(failure.non_retryable);
        assert!(failure.message.contains("NEXUS_SECRET_ORDERS_API") && failure.message.contains("s.json"));
    }
}
