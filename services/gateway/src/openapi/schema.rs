//! Messages as JSON Schema. What only answers hold has every field; what requests hold has those that they must.

use std::collections::BTreeMap;

use nexus_api::common::v1::Content;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::Comments;
use crate::catalog::content;

/// The schemas of a description.
pub(super) struct Schemas<'a> {
    comments: &'a Comments,
    found: BTreeMap<String, Value>,
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Answer,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(comments: &'a Comments) -> Self {
        let mut found = BTreeMap::new();
        found.insert("Problem".to_owned(), problem());
        Self { comments, found }
    }

    pub(super) fn finish(self) -> Value {
        Value::Object(self.found.into_iter().collect())
    }

    /// A reference to a message, without some of its fields.
    pub(super) fn message(&mut self, message: &MessageDescriptor, side: Side, without: &[&str]) -> Value {
        let name = name_of(message.full_name(), message.package_name());
        // A message of both sides is one that a request may leave fields out of.
        let key = match side {
            Side::Answer => name,
            Side::Request if self.found.contains_key(&name) && !name.ends_with("Request") => format!("{name}Input"),
            Side::Request => name,
        };
        if !self.found.contains_key(&key) {
            // Taken before its fields are looked at: a message may hold itself.
            self.found.insert(key.clone(), Value::Null);
            let schema = self.object(message, side, without);
            self.found.insert(key.clone(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{key}")})
    }

    fn object(&mut self, message: &MessageDescriptor, side: Side, without: &[&str]) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields().filter(|field| !without.contains(&field.name())) {
            if side == Side::Answer || behaves(&field, "REQUIRED") {
                required.push(field.name().to_owned());
            }
            properties.insert(field.name().to_owned(), self.field(&field, side));
        }
        let mut schema =
            json!({"type": "object", "description": self.comments.of_message(message), "properties": properties});
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if side == Side::Request {
            schema["additionalProperties"] = false.into();
        }
        schema
    }

    /// A field as it stands in JSON.
    pub(super) fn field(&mut self, field: &FieldDescriptor, side: Side) -> Value {
        let comment = self.comments.of_field(field);
        let mut schema = if field.is_map() {
            let Kind::Message(entry) = field.kind() else {
                return json!({});
            };
            json!({"type": "object", "additionalProperties": self.one(&entry.map_entry_value_field(), side)})
        } else if field.is_list() {
            json!({"type": "array", "items": self.one(field, side)})
        } else {
            let one = self.one(field, side);
            match field.supports_presence() {
                // Answers say `null` for what is not set.
                true => json!({"anyOf": [one, {"type": "null"}]}),
                false => one,
            }
        };
        if !comment.is_empty() {
            schema["description"] = match content(field) {
                // The contract speaks of its own text.
                Content::Json => format!("{comment} Here it is the JSON itself.").into(),
                _ => comment.into(),
            };
        }
        schema
    }

    fn one(&mut self, field: &FieldDescriptor, side: Side) -> Value {
        match (field.kind(), content(field)) {
            (Kind::String, Content::Json) => json!({}),
            (Kind::String, Content::File) => json!({"type": ["string", "object"]}),
            (Kind::Enum(kind), _) => self.enumeration(&kind),
            (Kind::Message(message), _) if message.package_name() == "google.protobuf" => well_known(message.name()),
            (Kind::Message(message), _) => self.message(&message, side, &[]),
            (kind, _) => scalar(&kind),
        }
    }

    /// A reference to an enumeration.
    pub(super) fn enumeration(&mut self, kind: &EnumDescriptor) -> Value {
        let key = name_of(kind.full_name(), kind.package_name());
        if !self.found.contains_key(&key) {
            let names: Vec<_> = kind.values().map(|value| value.name().to_owned()).collect();
            let lines = kind
                .values()
                .map(|value| format!("- `{}`: {}", value.name(), self.comments.of_value(&value)));
            let lines = lines.collect::<Vec<_>>().join("\n");
            let description = format!("{}\n\n{lines}", self.comments.of_enum(kind));
            self.found.insert(
                key.clone(),
                json!({"type": "string", "enum": names, "description": description}),
            );
        }
        json!({"$ref": format!("#/components/schemas/{key}")})
    }
}

/// `nexus.execution.v1.Execution.State` as `Execution.State`.
fn name_of(full_name: &str, package: &str) -> String {
    let name = full_name.strip_prefix(package).unwrap_or(full_name);
    name.trim_start_matches('.').to_owned()
}

/// Whether a field's annotation `google.api.field_behavior` says a word.
pub(super) fn behaves(field: &FieldDescriptor, word: &str) -> bool {
    let Some(extension) = field.parent_pool().get_extension_by_name("google.api.field_behavior") else {
        return false;
    };
    let Kind::Enum(words) = extension.kind() else {
        return false;
    };
    let wanted = words.get_value_by_name(word).map(|value| value.number());
    let said = field.options().get_extension(&extension).into_owned();
    said.as_list()
        .unwrap_or_default()
        .iter()
        .any(|said| said.as_enum_number() == wanted)
}

/// A single value, in JSON as in a path or a query.
pub(super) fn scalar(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
        Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({"type": "string", "pattern": "^-?[0-9]+$"}),
        Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "pattern": "^[0-9]+$"}),
        Kind::Float | Kind::Double => json!({"type": "number"}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::String | Kind::Enum(_) => json!({"type": "string"}),
        Kind::Message(message) => well_known(message.name()),
    }
}

/// Messages that JSON writes in another form.
fn well_known(name: &str) -> Value {
    match name {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$", "examples": ["1.5s"]}),
        "FieldMask" => json!({"type": "string", "examples": ["description,labels"]}),
        "Struct" | "Empty" => json!({"type": "object"}),
        "ListValue" => json!({"type": "array"}),
        _ => json!({}),
    }
}

/// What is answered when something is wrong.
fn problem() -> Value {
    json!({
        "type": "object",
        "description": "What is wrong, as RFC 9457 has it.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "description": "`urn:nexus:reason:…`, or `about:blank` where the status says it all."},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What, where, and what to do."},
            "instance": {"type": "string", "description": "The path that was asked for."},
            "reason": {"type": "string", "description": "The stable reason, such as `WORKFLOW_NOT_FOUND`."},
            "metadata": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Facts for programs."},
            "errors": {
                "type": "array",
                "description": "What is wrong, place by place.",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": {
                        "field": {"type": "string", "description": "A field of the request, or a JSON pointer into a workflow file."},
                        "message": {"type": "string"},
                        "code": {"type": "string", "description": "A diagnostic's stable code, such as `NX1203`."},
                        "line": {"type": "integer", "minimum": 1},
                        "column": {"type": "integer", "minimum": 1},
                        "help": {"type": "string", "description": "How to mend it."},
                    },
                },
            },
            "trace_id": {"type": "string", "description": "The trace that tells more, when there is one."},
        },
    })
}
