//! Reading the fields of a task: the file's, with every expression evaluated.

use nexus_spec::KindName;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::outcome::Failure;

/// Reads a kind's fields.
///
/// # Errors
/// When they are not of the kind's form.
pub fn read<T: DeserializeOwned>(kind: KindName, input: Value) -> Result<T, Failure> {
    serde_json::from_value(input)
        .map_err(|error| Failure::invalid(format!("the task's `{kind}` fields cannot be read: {error}")))
}

/// A value as text for an environment variable, a header or a query: strings as they are, `null` not at all,
/// everything else as JSON.
#[must_use]
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
