//! The fields of a `grpc` task as they arrive.

use indexmap::IndexMap;
use nexus_spec::Span;
use serde::Deserialize;
use serde_json::Value;

/// What the file says, every expression evaluated.
#[derive(Debug, Deserialize)]
pub struct Fields {
    pub(crate) target: String,
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) message: Value,
    #[serde(default)]
    pub(crate) metadata: IndexMap<String, Value>,
    pub(crate) deadline: Option<Span>,
    pub(crate) tls: Option<Tls>,
    pub(crate) descriptor: Option<String>,
    pub(crate) reflection: Option<bool>,
    pub(crate) idempotent: Option<bool>,
    pub(crate) max_size: Option<String>,
    pub(crate) max_messages: Option<u32>,
}

/// Certificates as PEM text. No `Debug`: one of them is a private key.
#[derive(Clone, Default, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct Tls {
    pub(crate) ca: Option<String>,
    pub(crate) cert: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) server_name: Option<String>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
