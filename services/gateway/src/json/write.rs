//! Messages as JSON text. A payload's text is put in as it stands: no digit and no order of keys is lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nexus_api::common::v1::Content;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, ReflectMessage, SerializeOptions, Value,
};
use serde_json::value::RawValue;

use crate::catalog::content;

/// Writes a message. Every field is there; a message that is not set, and an empty payload, are `null`.
pub fn write(message: &DynamicMessage, out: &mut Vec<u8>) {
    let descriptor = message.descriptor();
    if descriptor.package_name() == "google.protobuf" {
        return well_known(message, out);
    }
    out.push(b'{');
    for (at, field) in descriptor.fields().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        text(field.name(), out);
        out.push(b':');
        let absent = field.supports_presence() && !message.has_field(&field);
        match absent {
            true => out.extend_from_slice(b"null"),
            false => write_value(&field, &message.get_field(&field), out),
        }
    }
    out.push(b'}');
}

/// Writes the value of a field.
pub fn write_value(field: &FieldDescriptor, value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::List(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                one(field, &field.kind(), item, out);
            }
            out.push(b']');
        }
        Value::Map(entries) => {
            let Kind::Message(entry) = field.kind() else { return };
            let kind = entry.map_entry_value_field().kind();
            // A map has no order; the same message is the same text all the same.
            let mut entries: Vec<_> = entries.iter().map(|(key, value)| (key_text(key), value)).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            out.push(b'{');
            for (at, (key, value)) in entries.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                text(key, out);
                out.push(b':');
                one(field, &kind, value, out);
            }
            out.push(b'}');
        }
        value => one(field, &field.kind(), value, out),
    }
}

fn one(field: &FieldDescriptor, kind: &Kind, value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::I32(value) => plain(value, out),
        Value::U32(value) => plain(value, out),
        // As proto3's JSON has it: readers in JavaScript would lose digits.
        Value::I64(value) => text(&value.to_string(), out),
        Value::U64(value) => text(&value.to_string(), out),
        Value::F32(value) => number(f64::from(*value), value.to_string(), out),
        Value::F64(value) => number(*value, value.to_string(), out),
        Value::String(value) if content(field) == Content::Json => payload(value, out),
        Value::String(value) => text(value, out),
        Value::Bytes(value) => text(&STANDARD.encode(value), out),
        Value::EnumNumber(number) => match kind {
            Kind::Enum(descriptor) => enumeration(descriptor, *number, out),
            _ => plain(number, out),
        },
        Value::Message(message) => write(message, out),
        Value::List(_) | Value::Map(_) => {}
    }
}

fn enumeration(descriptor: &EnumDescriptor, number: i32, out: &mut Vec<u8>) {
    match descriptor.get_value(number) {
        Some(value) => text(value.name(), out),
        // A newer service's.
        None => plain(&number, out),
    }
}

/// JSON that is carried as text. What is none, which no service of the house sends, is shown as the text that it is.
fn payload(json: &str, out: &mut Vec<u8>) {
    if json.is_empty() {
        out.extend_from_slice(b"null");
    } else if serde_json::from_str::<&RawValue>(json).is_ok() {
        out.extend_from_slice(json.trim().as_bytes());
    } else {
        text(json, out);
    }
}

/// Times, spans, masks and the like have forms of their own.
fn well_known(message: &DynamicMessage, out: &mut Vec<u8>) {
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(false);
    let start = out.len();
    let written = message.serialize_with_options(&mut serde_json::Serializer::new(&mut *out), &options);
    if written.is_err() {
        // A time that no calendar has.
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

fn number(value: f64, shown: String, out: &mut Vec<u8>) {
    if value.is_nan() {
        text("NaN", out);
    } else if value.is_infinite() {
        text(if value > 0.0 { "Infinity" } else { "-Infinity" }, out);
    } else {
        out.extend_from_slice(shown.as_bytes());
    }
}

fn plain(value: &impl ToString, out: &mut Vec<u8>) {
    out.extend_from_slice(value.to_string().as_bytes());
}

fn text(value: &str, out: &mut Vec<u8>) {
    // Writing a text into memory does not fail.
    drop(serde_json::to_writer(out, value));
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_api::execution::v1::{Event, Execution, event, execution};

    fn shown(message: &impl prost::Message, name: &str) -> String {
        let descriptor = nexus_api::json::pool().get_message_by_name(name).expect(name);
        let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).expect("message");
        let mut out = Vec::new();
        write(&message, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn an_execution_is_shown_whole_and_its_payloads_digit_by_digit() {
        let mut execution = Execution {
            id: "7".into(),
            state: execution::State::Succeeded.into(),
            params: "{\"z\": 1, \"a\": 12345678901234567890123.10, \"s\":\"\\ud83d\\ude00 \\\"\"}".into(),
            revision: 3,
            last_event: u64::MAX,
            create_time: Some(prost_types_time(1_700_000_000, 5_000_000)),
            ..Execution::default()
        };
        execution.labels.insert("b".into(), "2".into());
        execution.labels.insert("a".into(), "\"1\"\n".into());
        let expected = r#"{"id":"7","workflow":"","revision":3,"state":"SUCCEEDED","params":{"z": 1, "a": 12345678901234567890123.10, "s":"\ud83d\ude00 \""},"output":null,"error":null,"labels":{"a":"\"1\"\n","b":"2"},"create_time":"2023-11-14T22:13:20.005Z","start_time":null,"finish_time":null,"task_counts":{},"last_event":"18446744073709551615","tasks":[],"cancel_reason":"","namespace":""}"#;
        assert_eq!(shown(&execution, "nexus.execution.v1.Execution"), expected);
    }

    fn prost_types_time(seconds: i64, nanos: i32) -> prost_types::Timestamp {
        prost_types::Timestamp { seconds, nanos }
    }

    #[test]
    fn what_is_no_json_and_what_is_not_known_is_shown_as_it_is() {
        let execution = Execution {
            output: "not json".into(),
            ..Execution::default()
        };
        assert!(shown(&execution, "nexus.execution.v1.Execution").contains(r#""output":"not json""#));
        let event = Event {
            r#type: 77,
            execution_state: execution::State::TimedOut.into(),
            ..Event::default()
        };
        let shown = shown(&event, "nexus.execution.v1.Event");
        assert!(shown.contains(r#""type":77"#), "{shown}");
        assert!(shown.contains(r#""execution_state":"TIMED_OUT""#), "{shown}");
        assert_ne!(event::Type::TaskLost as i32, 77);
    }
}
