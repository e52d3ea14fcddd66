//! What can be wrong with a configuration: which key, where it came from, and what to write instead.

use std::path::PathBuf;

use super::origin::Origin;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {source}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("the configuration file {} is not valid TOML: {problem}", path.display())]
    Syntax { path: PathBuf, problem: String },
    /// Nobody knows the key.
    #[error("unknown key `{key}` ({origin}){}; `nexus config` shows all keys", suggestion(near))]
    UnknownKey {
        key: String,
        origin: Origin,
        near: Option<&'static str>,
    },
    /// The value does not fit its key.
    #[error("`{key}` ({origin}) {problem}")]
    Value {
        key: &'static str,
        origin: Origin,
        problem: String,
    },
    /// A key is needed for what the process shall do.
    #[error("`{key}` is not set, and {why}; set it in the file, as {env}, or with --set {key}=…")]
    Missing {
        key: &'static str,
        env: String,
        why: &'static str,
    },
    /// `--set` without a value.
    #[error("--set takes KEY=VALUE, not `{0}`")]
    Set(String),
    /// Keys and structure have parted; a bug.
    #[error("the configuration cannot be put together: {0}")]
    Internal(String),
}

fn suggestion(near: &Option<&'static str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}
