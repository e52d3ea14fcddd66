//! Messages from JSON text. A payload is taken as its text stands; what is wrong is told with the field, the line and the
//! column. Names are those of the contracts, those of proto3's JSON are understood too, and others are mistakes.

use std::borrow::Cow;
use std::fmt;

use nexus_api::common::v1::Content;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::scalar::{of_text, quoted};
use crate::catalog::content;

/// What is wrong with a body, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The field, as a path of names; empty for the body as a whole.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// Where, when it is known.
    pub place: Option<Place>,
}

/// A place in a text: line and column, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// Reads a body as a message.
///
/// # Errors
/// When it is none.
pub fn read(body: &str, descriptor: &MessageDescriptor) -> Result<DynamicMessage, Mistake> {
    let reader = Reader { body };
    reader.message(reader.whole()?, descriptor, "")
}

/// Reads a body as the value of a field; nothing for `null`.
///
/// # Errors
/// When it is none.
pub fn read_field(body: &str, field: &FieldDescriptor) -> Result<Option<Value>, Mistake> {
    let reader = Reader { body };
    reader.field(reader.whole()?, field, field.name())
}

/// An object's members as they stand in the text.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((Cow::Owned(name), value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reads)
    }
}

struct Reader<'a> {
    body: &'a str,
}

impl<'a> Reader<'a> {
    fn whole(&self) -> Result<&'a RawValue, Mistake> {
        serde_json::from_str(self.body).map_err(|error| Mistake {
            field: String::new(),
            problem: format!("the body is no JSON: {}", said(&error)),
            place: Some(Place {
                line: error.line(),
                column: error.column().max(1),
            }),
        })
    }

    /// A mistake about a part of the body.
    fn mistake(&self, raw: &RawValue, field: &str, problem: impl Into<String>) -> Mistake {
        let offset = (raw.get().as_ptr() as usize).wrapping_sub(self.body.as_ptr() as usize);
        let before = self.body.get(..offset);
        Mistake {
            field: field.to_owned(),
            problem: problem.into(),
            place: before.map(|before| Place {
                line: before.matches('\n').count() + 1,
                column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
            }),
        }
    }

    fn message(
        &self,
        raw: &'a RawValue,
        descriptor: &MessageDescriptor,
        path: &str,
    ) -> Result<DynamicMessage, Mistake> {
        if descriptor.package_name() == "google.protobuf" {
            return self.well_known(raw, descriptor, path);
        }
        let mut message = DynamicMessage::new(descriptor.clone());
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in self.members(raw, path)? {
            let below = join(path, &name);
            let known = descriptor
                .get_field_by_name(&name)
                .or_else(|| descriptor.get_field_by_json_name(&name));
            let field = known.ok_or_else(|| self.mistake(value, &below, unknown(&name, descriptor)))?;
            if seen.iter().any(|seen| seen == field.name()) {
                return Err(self.mistake(value, &below, "is given twice"));
            }
            seen.push(field.name().to_owned());
            if let Some(value) = self.field(value, &field, &below)? {
                if let Some(oneof) = field.containing_oneof()
                    && let Some(other) = oneof.fields().find(|other| message.has_field(other))
                {
                    let problem = format!("cannot stand beside {}: one of them only", other.name());
                    return Err(self.mistake(raw, &below, problem));
                }
                message.set_field(&field, value);
            }
        }
        Ok(message)
    }

    fn members(&self, raw: &'a RawValue, path: &str) -> Result<Vec<(Cow<'a, str>, &'a RawValue)>, Mistake> {
        let members: Members<'a> = serde_json::from_str(raw.get())
            .map_err(|_| self.mistake(raw, path, format!("{} is no object", kind(raw))))?;
        Ok(members.0)
    }

    /// The value of a field; nothing for `null`.
    fn field(&self, raw: &'a RawValue, field: &FieldDescriptor, path: &str) -> Result<Option<Value>, Mistake> {
        if raw.get() == "null" {
            return Ok(None);
        }
        if field.is_map() {
            return self.map(raw, field, path).map(Some);
        }
        if !field.is_list() {
            return self.one(raw, field, &field.kind(), path).map(Some);
        }
        let items: Vec<&'a RawValue> = serde_json::from_str(raw.get())
            .map_err(|_| self.mistake(raw, path, format!("{} is no list", kind(raw))))?;
        let items = items.into_iter().enumerate();
        let items = items.map(|(at, item)| self.one(item, field, &field.kind(), &format!("{path}[{at}]")));
        items.collect::<Result<_, _>>().map(Value::List).map(Some)
    }

    fn map(&self, raw: &'a RawValue, field: &FieldDescriptor, path: &str) -> Result<Value, Mistake> {
        let Kind::Message(entry) = field.kind() else {
            return Err(self.mistake(raw, path, "cannot be read"));
        };
        let (key_kind, value_kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut entries = std::collections::HashMap::<MapKey, Value>::new();
        for (name, value) in self.members(raw, path)? {
            let below = join(path, &name);
            let key = of_text(&key_kind, &name).map_err(|unfit| self.mistake(value, &below, unfit.to_string()))?;
            let key = key
                .into_map_key()
                .ok_or_else(|| self.mistake(value, &below, "is no key"))?;
            let value_read = self.one(value, field, &value_kind, &below)?;
            if entries.insert(key, value_read).is_some() {
                return Err(self.mistake(value, &below, "is given twice"));
            }
        }
        Ok(Value::Map(entries))
    }

    fn one(&self, raw: &'a RawValue, field: &FieldDescriptor, value_kind: &Kind, path: &str) -> Result<Value, Mistake> {
        let text = raw.get();
        match (value_kind, content(field)) {
            (Kind::Message(descriptor), _) => return self.message(raw, descriptor, path).map(Value::Message),
            (Kind::String, Content::Json) => return Ok(Value::String(text.to_owned())),
            // A file as an object: JSON is YAML too.
            (Kind::String, Content::File) if text.starts_with('{') => return Ok(Value::String(text.to_owned())),
            _ => {}
        }
        let wants_text = matches!(value_kind, Kind::String | Kind::Bytes);
        let read = match text.as_bytes().first() {
            Some(b'"') => {
                // The whole is JSON, so what can be wrong is an escape.
                let inner: String = serde_json::from_str(text)
                    .map_err(|error| self.mistake(raw, path, format!("is no text: {}", said(&error))))?;
                if *value_kind == Kind::Bool {
                    return Err(self.mistake(raw, path, format!("{} is a text, not true or false", quoted(&inner))));
                }
                of_text(value_kind, &inner)
            }
            Some(b'{' | b'[') => return Err(self.mistake(raw, path, format!("{} is no single value", kind(raw)))),
            _ if wants_text => {
                return Err(self.mistake(raw, path, format!("{} is no text: write it in quotes", kind(raw))));
            }
            Some(b't' | b'f') if *value_kind != Kind::Bool => {
                return Err(self.mistake(raw, path, format!("{} is no number", kind(raw))));
            }
            _ => of_text(value_kind, text),
        };
        read.map_err(|unfit| self.mistake(raw, path, unfit.to_string()))
    }

    /// Times, spans, masks and the like have forms of their own.
    fn well_known(
        &self,
        raw: &RawValue,
        descriptor: &MessageDescriptor,
        path: &str,
    ) -> Result<DynamicMessage, Mistake> {
        let text = raw.get();
        if text.starts_with('"') {
            let inner: String = serde_json::from_str(text)
                .map_err(|error| self.mistake(raw, path, format!("is no text: {}", said(&error))))?;
            let read = of_text(&Kind::Message(descriptor.clone()), &inner);
            return match read {
                Ok(Value::Message(message)) => Ok(message),
                Ok(_) => Err(self.mistake(raw, path, "cannot be read")),
                Err(unfit) => Err(self.mistake(raw, path, unfit.to_string())),
            };
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        DynamicMessage::deserialize(descriptor.clone(), &mut deserializer)
            .map_err(|error| self.mistake(raw, path, said(&error)))
    }
}

/// What is said of a name that no field has. Where one field takes any JSON, what was meant for it may stand beside it.
fn unknown(name: &str, descriptor: &MessageDescriptor) -> String {
    let fields: Vec<String> = descriptor.fields().map(|field| field.name().to_owned()).collect();
    let near = crate::near::suggest(name, fields.iter().map(String::as_str));
    if !near.is_empty() {
        return format!("there is no such field{near}");
    }
    let mut payloads = descriptor.fields().filter(|field| content(field) == Content::Json);
    match (payloads.next(), payloads.next()) {
        (Some(payload), None) => {
            let payload = payload.name();
            format!("there is no such field; what belongs to {payload} stands within it: {{\"{payload}\": {{…}}}}")
        }
        _ => "there is no such field".to_owned(),
    }
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// What a value is, in words.
fn kind(raw: &RawValue) -> String {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object".to_owned(),
        Some(b'[') => "a list".to_owned(),
        _ => quoted_raw(raw.get()),
    }
}

fn quoted_raw(text: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        format!("{shown}…")
    } else {
        shown
    }
}

/// What serde_json says, without the place, which stands beside it.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ")
        .map_or(text.as_str(), |at| &text[..at])
        .to_owned()
}

#[cfg(test)]
mod tests;
