//! The text of a file as a tree of values that know where they stand.

mod reader;
mod scalar;

pub(crate) use crate::place::Place;
pub(crate) use reader::read;

use serde_json::{Map, Number, Value};

/// Largest file, in bytes.
pub(crate) const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Deepest nesting.
pub(crate) const MAX_DEPTH: usize = 32;
/// Most values, aliases expanded.
pub(crate) const MAX_NODES: usize = 2_000_000;

/// How a text was written, which decides where its characters stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
    Literal,
    Folded,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) data: Data,
    pub(crate) place: Place,
}

#[derive(Debug, Clone)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String, Style),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value. Keys are unique: the reader reports a second one and drops it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text, _) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.data {
            Data::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The value without places.
    pub(crate) fn to_value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(number) => Value::Number(number.clone()),
            Data::Text(text, _) => Value::String(text.clone()),
            Data::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Data::Map(entries) => {
                let pairs = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_value()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }

    /// What the value is, for a message.
    pub(crate) fn describe(&self) -> &'static str {
        match &self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "true or false",
            Data::Number(_) => "a number",
            Data::Text(..) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }

    /// The place of a character of a text, from 0. Exact for plain and literal text; for quoted and folded text the
    /// place is that of the text, moved along its line as if nothing were escaped.
    pub(crate) fn place_of(&self, offset: usize) -> Place {
        let Data::Text(text, style) = &self.data else {
            return self.place;
        };
        let offset_u32 = u32::try_from(offset).unwrap_or_default();
        match style {
            Style::Plain => Place {
                column: self.place.column + offset_u32,
                ..self.place
            },
            Style::Quoted => Place {
                column: self.place.column + 1 + offset_u32,
                ..self.place
            },
            Style::Literal => {
                let before: Vec<char> = text.chars().take(offset).collect();
                let lines = before.iter().filter(|c| **c == '\n').count();
                let within = before.iter().rev().take_while(|c| **c != '\n').count();
                Place {
                    line: self.place.line + u32::try_from(lines).unwrap_or_default(),
                    column: self.place.column + u32::try_from(within).unwrap_or_default(),
                }
            }
            Style::Folded => self.place,
        }
    }

    /// The node that a JSON pointer leads to, or the last one on the way that exists.
    pub(crate) fn follow(&self, pointer: &str) -> &Self {
        let mut node = self;
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            let next = match &node.data {
                Data::Map(entries) => entries
                    .iter()
                    .find(|entry| entry.key == segment)
                    .map(|entry| &entry.value),
                Data::List(items) => segment.parse::<usize>().ok().and_then(|i| items.get(i)),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }
}

/// True when a plain scalar with this text is the text itself and no number, boolean or null.
pub(crate) fn is_plain_text(text: &str) -> bool {
    matches!(scalar::resolve(text), Ok(Data::Text(..)))
}

/// Reads a text without asking what it says: for tests of what is written.
#[cfg(test)]
pub(crate) fn read_value(text: &str) -> Option<Value> {
    let mut findings = crate::findings::Findings::default();
    let node = read(text, &mut findings);
    let problems = findings.into_diagnostics("");
    assert!(problems.is_empty(), "{problems:?}");
    node.map(|node| node.to_value())
}
