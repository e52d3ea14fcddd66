//! The fields of each kind as they arrive: the file's, with every expression evaluated.

use indexmap::IndexMap;
use nexus_spec::{KindName, Span};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::outcome::Failure;

#[derive(Debug, Deserialize)]
pub(crate) struct Python {
    pub(crate) code: Option<String>,
    pub(crate) function: Option<String>,
    #[serde(default)]
    pub(crate) args: IndexMap<String, Value>,
    #[serde(default)]
    pub(crate) env: IndexMap<String, Value>,
    pub(crate) memory: Option<String>,
    #[serde(default)]
    pub(crate) isolation: Isolation,
}

/// How far the attempts of Python tasks are kept apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Isolation {
    #[default]
    Fork,
    Warm,
    Process,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Bash {
    pub(crate) run: String,
    #[serde(default)]
    pub(crate) env: IndexMap<String, Value>,
    pub(crate) memory: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Http {
    pub(crate) url: String,
    pub(crate) method: Option<String>,
    #[serde(default)]
    pub(crate) query: IndexMap<String, Value>,
    #[serde(default)]
    pub(crate) headers: IndexMap<String, Value>,
    // Present and `null` is a body, namely the JSON text `null`.
    #[serde(default, deserialize_with = "present")]
    pub(crate) json: Option<Value>,
    pub(crate) form: Option<IndexMap<String, Value>>,
    pub(crate) body: Option<String>,
    #[serde(default)]
    pub(crate) expect: Vec<Value>,
    pub(crate) max_size: Option<String>,
    pub(crate) redirects: Option<u8>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Debug, Deserialize)]
pub(crate) struct Sql {
    pub(crate) connection: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) statement: String,
    #[serde(default)]
    pub(crate) bind: IndexMap<String, Value>,
    pub(crate) max_rows: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Grpc {
    pub(crate) target: String,
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) message: Value,
    #[serde(default)]
    pub(crate) metadata: IndexMap<String, Value>,
    pub(crate) deadline: Option<Span>,
    pub(crate) tls: Option<GrpcTls>,
    pub(crate) descriptor: Option<String>,
    pub(crate) reflection: Option<bool>,
    pub(crate) idempotent: Option<bool>,
    pub(crate) max_size: Option<String>,
    pub(crate) max_messages: Option<u32>,
}

/// Certificates as PEM text. No `Debug`: one of them is a private key.
#[derive(Clone, Default, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct GrpcTls {
    pub(crate) ca: Option<String>,
    pub(crate) cert: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) server_name: Option<String>,
}

impl std::fmt::Debug for GrpcTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcTls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Noop {
    #[serde(default)]
    pub(crate) output: Value,
}

/// Reads a kind's fields.
pub(crate) fn read<T: DeserializeOwned>(kind: KindName, input: Value) -> Result<T, Failure> {
    serde_json::from_value(input)
        .map_err(|error| Failure::invalid(format!("the task's `{kind}` fields cannot be read: {error}")))
}

/// A value as text for an environment variable, a header or a query: strings as they are, `null` not at all,
/// everything else as JSON.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A `memory` field in bytes.
pub(crate) fn memory(text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    crate::size::parse_size(text)
        .filter(|bytes| *bytes >= 16 << 20)
        .map(Some)
        .ok_or_else(|| Failure::invalid(format!("`memory` must be a size of at least 16MiB, not `{text}`")))
}
