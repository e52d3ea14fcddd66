//! Canonical proto JSON of any NEXUS message, with snake_case names, and with payload fields (JSON carried as text)
//! shown as the JSON that they are.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, ReflectMessage, SerializeOptions, Value as FieldValue};
use serde_json::Value;

use crate::DESCRIPTOR_SET;

/// The descriptors of every contract. Decoding cannot fail: the build wrote the bytes and a test decodes them.
#[allow(clippy::expect_used)]
static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).expect("the embedded descriptor set is well-formed"));

/// How deep JSON from outside may be nested: parameters, outputs. Readers give up at 128, and what is passed on or shown
/// stands in something.
pub const MAX_DEPTH: usize = 100;

/// How deep the lists and maps of a JSON text are nested; for any text, without a stack and without a value.
#[must_use]
pub fn depth(text: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0_usize);
    let (mut in_text, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                open += 1;
                deepest = deepest.max(open);
            }
            b']' | b'}' if !in_text => open = open.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Says that JSON is nested too deeply, when it is.
#[must_use]
pub fn too_deep(text: &str) -> Option<String> {
    let depth = depth(text);
    (depth > MAX_DEPTH).then(|| format!("is nested {depth} deep, at most {MAX_DEPTH} are taken"))
}

/// Fields that carry JSON as text; they are shown as JSON.
const PAYLOAD_FIELDS: &[&str] = &["params", "output", "details"];

/// A message cannot be shown as JSON.
#[derive(Debug, thiserror::Error)]
#[error("cannot show {message} as JSON, or read it")]
pub struct JsonError {
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The descriptors of every contract.
#[must_use]
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// The message that a text in canonical proto JSON is.
///
/// # Errors
/// When no message has that name, or the text is not such a message.
pub fn from_text<M: Message + Default>(text: &str, full_name: &str) -> Result<M, JsonError> {
    let fail = |source: Option<Box<dyn std::error::Error + Send + Sync>>| JsonError {
        message: full_name.to_owned(),
        source,
    };
    let descriptor = POOL.get_message_by_name(full_name).ok_or_else(|| fail(None))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let dynamic = DynamicMessage::deserialize(descriptor, &mut json).map_err(|source| fail(Some(Box::new(source))))?;
    json.end().map_err(|source| fail(Some(Box::new(source))))?;
    M::decode(dynamic.encode_to_vec().as_slice()).map_err(|source| fail(Some(Box::new(source))))
}

/// A message as canonical proto JSON with snake_case names. `full_name` is the message's protobuf name
/// (`nexus.execution.v1.Execution`). Unset fields are left out unless `defaults` is true.
///
/// # Errors
/// When no message has that name, or the bytes are not such a message.
pub fn to_json<M: Message>(message: &M, full_name: &str, defaults: bool) -> Result<Value, JsonError> {
    let fail = |source: Option<Box<dyn std::error::Error + Send + Sync>>| JsonError {
        message: full_name.to_owned(),
        source,
    };
    let descriptor = POOL.get_message_by_name(full_name).ok_or_else(|| fail(None))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .map_err(|source| fail(Some(Box::new(source))))?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(!defaults)
        .stringify_64_bit_integers(true);
    let mut value = dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|source| fail(Some(Box::new(source))))?;
    unfold_payloads(&mut value);
    if defaults {
        name_absent(&dynamic, &mut value);
    }
    Ok(value)
}

/// Shows messages that are not set as `null`, so that every field can be looked up. (`null` reads back as not set.)
fn name_absent(message: &DynamicMessage, value: &mut Value) {
    let Value::Object(map) = value else { return };
    for field in message.descriptor().fields() {
        if field.is_map() || !matches!(field.kind(), Kind::Message(_)) {
            continue;
        }
        let well_known = matches!(field.kind(), Kind::Message(kind) if kind.package_name().starts_with("google."));
        match message.get_field(&field).as_ref() {
            _ if well_known => {}
            FieldValue::Message(_) if !message.has_field(&field) => {
                map.insert(field.name().to_owned(), Value::Null);
            }
            FieldValue::Message(inner) => {
                if let Some(shown) = map.get_mut(field.name()) {
                    name_absent(inner, shown);
                }
            }
            FieldValue::List(items) => {
                let Some(Value::Array(shown)) = map.get_mut(field.name()) else {
                    continue;
                };
                for (item, shown) in items.iter().zip(shown) {
                    if let FieldValue::Message(item) = item {
                        name_absent(item, shown);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Replaces payload fields, JSON carried as text, by the JSON itself; an empty one by `null`.
fn unfold_payloads(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, entry) in map.iter_mut() {
                match entry {
                    Value::String(text) if PAYLOAD_FIELDS.contains(&key.as_str()) => {
                        if text.is_empty() {
                            *entry = Value::Null;
                        } else if let Ok(inner) = serde_json::from_str(text) {
                            *entry = inner;
                        }
                    }
                    // A payload's own content is never looked into: it is the user's.
                    _ => unfold_payloads(entry),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unfold_payloads),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::v1::{Execution, Task, execution, task};

    #[test]
    fn payloads_are_shown_as_json_and_states_by_their_plain_names() {
        let message = Execution {
            id: "a".into(),
            state: execution::State::Succeeded.into(),
            output: r#"{"rows":12345678901234567890,"output":"{\"x\":1}"}"#.into(),
            tasks: vec![Task {
                id: "t".into(),
                state: task::State::Retrying.into(),
                attempts: 2,
                ..Task::default()
            }],
            ..Execution::default()
        };
        let json = to_json(&message, "nexus.execution.v1.Execution", false).expect("json");
        assert_eq!(json["state"], "SUCCEEDED");
        assert_eq!(json["output"]["rows"].to_string(), "12345678901234567890");
        assert_eq!(json["output"]["output"], "{\"x\":1}", "the user's own text stays text");
        assert_eq!(json["tasks"][0]["state"], "RETRYING");
        assert_eq!(json["tasks"][0]["attempts"], 2);
    }

    #[test]
    fn with_defaults_every_field_can_be_looked_up() {
        let message = Execution {
            tasks: vec![Task::default()],
            ..Execution::default()
        };
        let json = to_json(&message, "nexus.execution.v1.Execution", true).expect("json");
        for absent in [&json["error"], &json["tasks"][0]["error"], &json["output"]] {
            assert!(absent.is_null());
        }
        let keys: Vec<&String> = json["tasks"][0].as_object().expect("task").keys().collect();
        assert!(keys.iter().any(|key| *key == "error") && keys.iter().any(|key| *key == "output"));
        assert_eq!(json["tasks"][0]["state"], "STATE_UNSPECIFIED");
    }

    #[test]
    fn depth_is_counted_outside_of_texts() {
        for (text, deep) in [
            ("", 0),
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[{}],"b":[]}"#, 3),
            (r#""[[[""#, 0),
        ] {
            assert_eq!(depth(text), deep, "{text}");
        }
        assert_eq!(depth(r#"["\"[[", "\\", [1]]"#), 2);
        let nested = |deep: usize| format!("{}1{}", "[".repeat(deep), "]".repeat(deep));
        assert_eq!(too_deep(&nested(MAX_DEPTH)), None);
        let told = too_deep(&nested(MAX_DEPTH + 1)).expect("too deep");
        assert!(told.contains("101") && told.contains("100"), "{told}");
        assert_eq!(depth(&nested(5_000)), 5_000);
        assert_eq!(depth(&"]".repeat(9)), 0);
    }

    #[test]
    fn an_unknown_message_is_an_error() {
        assert!(to_json(&Execution::default(), "nexus.Nothing", false).is_err());
    }
}
