//! Walks a map: which keys it may have, and where everything stands.

use crate::codes;
use crate::findings::{Finding, Findings};
use crate::names::pointer_segment;
use crate::source::{Data, Entry, Node, Place};
use nexus_expr::nearest;

/// Where a value stands in the document: a chain of keys that becomes a JSON pointer only when something is said.
#[derive(Clone, Copy)]
pub(super) struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    segment: &'p str,
}

impl<'p> Path<'p> {
    pub(super) const ROOT: Path<'static> = Path {
        parent: None,
        segment: "",
    };

    pub(super) fn then(&'p self, segment: &'p str) -> Path<'p> {
        Path {
            parent: Some(self),
            segment,
        }
    }
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.parent {
            None => Ok(()),
            Some(parent) => write!(f, "{parent}/{}", pointer_segment(self.segment)),
        }
    }
}

/// A key that the design has and this version does not.
pub(super) struct Missing {
    pub(super) key: &'static str,
    /// What to do instead.
    pub(super) instead: &'static str,
}

/// What a map may hold.
pub(super) struct Shape {
    /// What it is called in messages: `a task`.
    pub(super) name: &'static str,
    pub(super) keys: &'static [&'static str],
    pub(super) missing: &'static [Missing],
}

/// A map whose keys were checked.
pub(super) struct Fields<'n> {
    pub(super) place: Place,
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    pub(super) fn get(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The value of a key; a key without a value counts as absent.
    pub(super) fn value(&self, key: &str) -> Option<&'n Node> {
        self.get(key)
            .map(|entry| &entry.value)
            .filter(|node| !matches!(node.data, Data::Null))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'n Entry> {
        self.entries.iter()
    }
}

/// Reads a map and says which of its keys do not belong there.
pub(super) fn fields<'n>(node: &'n Node, shape: &Shape, path: Path<'_>, findings: &mut Findings) -> Option<Fields<'n>> {
    let entries = entries(node, shape.name, path, findings)?;
    for entry in entries {
        if !shape.keys.contains(&entry.key.as_str()) {
            findings.add(unknown_key(entry, shape).path(path.then(&entry.key).to_string()));
        }
    }
    Some(Fields {
        place: node.place,
        entries,
    })
}

fn unknown_key(entry: &Entry, shape: &Shape) -> Finding {
    let key = &entry.key;
    if let Some(missing) = shape.missing.iter().find(|missing| missing.key == key) {
        let message = format!("{key:?} is not available in this version");
        return Finding::error(codes::NOT_AVAILABLE, entry.place, message).fix(missing.instead);
    }
    let finding = Finding::error(
        codes::UNKNOWN_KEY,
        entry.place,
        format!("{} has no key {key:?}", shape.name),
    );
    if key == "<<" {
        return finding.fix("merge keys are not read; put what tasks share under defaults");
    }
    match nearest(key, shape.keys.iter().copied()) {
        Some(near) => finding.fix(format!("did you mean {near:?}?")),
        None => finding.fix(format!("its keys are {}", shape.keys.join(", "))),
    }
}

/// The entries of a map, or a finding that it is none.
pub(super) fn entries<'n>(node: &'n Node, name: &str, path: Path<'_>, findings: &mut Findings) -> Option<&'n [Entry]> {
    match &node.data {
        Data::Map(entries) => Some(entries),
        _ => {
            let message = format!("{name} must be a map, this is {}", node.describe());
            findings.add(Finding::error(codes::WRONG_TYPE, node.place, message).path(path.to_string()));
            None
        }
    }
}
