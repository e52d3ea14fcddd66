//! What an expression refers to: found when it is compiled, so that edges, unknown names and unsafe uses of secrets
//! are known before anything runs.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ExprError;
use super::words::{FUNCTIONS, suggest};

/// What expressions refer to by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Ids in `tasks.<id>`.
    pub tasks: BTreeSet<String>,
    /// Names in `params.<name>`.
    pub params: BTreeSet<String>,
    /// Names in `secrets.<name>`.
    pub secrets: BTreeSet<String>,
}

impl References {
    /// Adds another's names.
    pub fn extend(&mut self, other: &Self) {
        self.tasks.extend(other.tasks.iter().cloned());
        self.params.extend(other.params.iter().cloned());
        self.secrets.extend(other.secrets.iter().cloned());
    }
}

/// Which parts of the scope an expression reads: the whole of a value, or only some keys of it. Rendering converts no
/// more than that, so that reading one number of a large output stays cheap.
#[derive(Debug, Clone, Default)]
pub(super) struct Need {
    pub(super) all: bool,
    pub(super) keys: BTreeMap<String, Need>,
}

impl Need {
    pub(super) fn add<'a>(&mut self, path: impl Iterator<Item = &'a str>) {
        let mut here = self;
        for segment in path {
            here = here.keys.entry(segment.to_owned()).or_default();
        }
        here.all = true;
    }
}

/// Checks the dotted paths that an expression reads and sorts them into names.
pub(super) fn collect(paths: &[Vec<String>]) -> Result<References, ExprError> {
    let mut references = References::default();
    for path in paths {
        let segments: Vec<&str> = path.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["tasks"] => {
                return Err(ExprError::new(
                    "tasks must be followed by a task's id and a dot, or the edge to the task would be lost",
                )
                .fix("write tasks.<id>.output, not tasks['<id>']"));
            }
            ["tasks", id, rest @ ..] => {
                if let Some(field) = rest.first() {
                    known_field(&format!("tasks.{id}"), field, &["output", "state", "error"])?;
                }
                references.tasks.insert((*id).to_owned());
            }
            ["params", rest @ ..] => {
                references.params.extend(rest.first().map(|name| (*name).to_owned()));
            }
            ["execution", rest @ ..] => {
                if let Some(field) = rest.first() {
                    known_field("execution", field, &["id", "namespace"])?;
                }
            }
            ["workflow", rest @ ..] => {
                if let Some(field) = rest.first() {
                    known_field("workflow", field, &["name", "revision"])?;
                }
            }
            ["secrets", ..] => {
                return Err(ExprError::new(
                    "a secret must stand alone; it is filled in by the worker, so nothing can be computed from it here",
                )
                .fix("write {{ secrets.name }} without filters, operators or conditions"));
            }
            [function] if FUNCTIONS.contains(function) => {}
            [root, ..] => return Err(unknown_root(root)),
            [] => {}
        }
    }
    Ok(references)
}

fn known_field(parent: &str, field: &str, known: &[&str]) -> Result<(), ExprError> {
    if known.contains(&field) {
        return Ok(());
    }
    let error = ExprError::new(format!("{parent} has no {field:?}; it has {}", known.join(", ")));
    Err(match suggest(field, known) {
        Some(near) => error.fix(format!("did you mean {parent}.{near}?")),
        None if parent.starts_with("tasks.") => error.fix(format!("the task's result stands under {parent}.output")),
        None => error,
    })
}

fn unknown_root(root: &str) -> ExprError {
    const ROOTS: &[&str] = &["params", "tasks", "execution", "workflow", "secrets"];
    let error = ExprError::new(format!("unknown name {root:?}; expressions know {}", ROOTS.join(", ")));
    match suggest(root, ROOTS) {
        Some(near) => error.fix(format!("did you mean {near:?}?")),
        None => error.fix(format!("quote it ('{root}') if it is text, or write params.{root}")),
    }
}

/// The name in an expression that is exactly `secrets.<name>`.
pub(super) fn lone_secret(source: &str) -> Option<&str> {
    let name = source.strip_prefix("secrets.")?;
    let mut chars = name.chars();
    let first = chars.next()?;
    let plain = (first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 63;
    plain.then_some(name)
}
