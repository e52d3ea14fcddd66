//! The fields of each kind as they arrive: the file's, with every expression evaluated.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use nexus_attempt::Failure;

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
pub(crate) struct Noop {
    #[serde(default)]
    pub(crate) output: Value,
}

/// A `memory` field in bytes.
pub(crate) fn memory(text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    nexus_attempt::parse_size(text)
        .filter(|bytes| *bytes >= 16 << 20)
        .map(Some)
        .ok_or_else(|| Failure::invalid(format!("`memory` must be a size of at least 16MiB, not `{text}`")))
}
