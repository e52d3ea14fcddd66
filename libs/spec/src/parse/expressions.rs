//! Compiles every expression where it stands, and remembers which tasks were referred to.

use std::collections::BTreeSet;

use serde_json::Value;

use super::reader::Path;
use crate::codes;
use crate::findings::{Finding, Findings};
use crate::source::{Data, Node, Place};
use nexus_expr::{Condition, ExprError, References, Template, nearest};

/// A place where a task is named.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) task: String,
    pub(super) place: Place,
    pub(super) path: String,
}

/// The expressions of one file.
pub(super) struct Expressions {
    /// The parameters that there are; nothing when any name may be one.
    params: Option<BTreeSet<String>>,
    uses: Vec<Use>,
}

impl Expressions {
    pub(super) fn new(schema: Option<&Value>) -> Self {
        Self {
            params: schema.and_then(known_params),
            uses: Vec::new(),
        }
    }

    /// The tasks that were referred to since this was last asked.
    pub(super) fn take_uses(&mut self) -> Vec<Use> {
        std::mem::take(&mut self.uses)
    }

    /// The tasks that were referred to and not taken.
    pub(super) fn uses(&self) -> &[Use] {
        &self.uses
    }

    /// A value whose texts may hold expressions.
    pub(super) fn value(&mut self, node: &Node, path: Path<'_>, findings: &mut Findings) {
        match &node.data {
            Data::Text(text, _) if text.contains('{') => match Template::compile(&Value::String(text.clone())) {
                Ok(template) => self.references(template.references(), node, text, path, findings),
                Err(error) => findings.add(unreadable(&error, node, path)),
            },
            Data::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.value(item, path.then(&i.to_string()), findings);
                }
            }
            Data::Map(entries) => {
                for entry in entries {
                    if entry.key.contains("{{") {
                        let message = "a key cannot hold an expression, only a value can";
                        let path = path.then(&entry.key).to_string();
                        findings.add(Finding::error(codes::BAD_EXPRESSION, entry.place, message).path(path));
                    }
                    self.value(&entry.value, path.then(&entry.key), findings);
                }
            }
            _ => {}
        }
    }

    /// A bare expression.
    pub(super) fn condition(&mut self, node: &Node, text: &str, path: Path<'_>, findings: &mut Findings) {
        match Condition::compile(text) {
            Ok(condition) => self.references(condition.references(), node, text, path, findings),
            Err(error) => findings.add(unreadable(&error, node, path)),
        }
    }

    /// Code that is passed on as it is: says so when somebody wrote an expression into it.
    pub(super) fn verbatim(node: &Node, field: &str, instead: &str, path: Path<'_>, findings: &mut Findings) {
        let Some(text) = node.text() else { return };
        let Some(at) = find_expression(text) else { return };
        let offset = text[..at].chars().count();
        let message =
            format!("{field} holds an expression; it is passed on as it is, so that no value can become code");
        let finding = Finding::error(codes::VERBATIM_EXPRESSION, node.place_of(offset), message);
        findings.add(finding.path(path.then(field).to_string()).fix(instead));
    }

    fn references(
        &mut self,
        references: &References,
        node: &Node,
        text: &str,
        path: Path<'_>,
        findings: &mut Findings,
    ) {
        for task in &references.tasks {
            self.uses.push(Use {
                task: task.clone(),
                place: place_of(node, text, "tasks", task),
                path: path.to_string(),
            });
        }
        let Some(known) = &self.params else { return };
        for name in &references.params {
            if known.contains(name) {
                continue;
            }
            let place = place_of(node, text, "params", name);
            let finding = Finding::error(codes::UNKNOWN_PARAM, place, format!("unknown parameter {name:?}"));
            let fix = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near:?}?"),
                None if known.is_empty() => format!("add {name} to the properties of params"),
                None => format!(
                    "add it to the properties of params, which has {}",
                    known.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
                ),
            };
            findings.add(finding.path(path.to_string()).fix(fix));
        }
    }
}

fn unreadable(error: &ExprError, node: &Node, path: Path<'_>) -> Finding {
    let place = node.place_of(error.offset.unwrap_or_default());
    Finding::error(codes::BAD_EXPRESSION, place, error.message.clone())
        .path(path.to_string())
        .maybe_fix(error.fix.clone())
}

/// The names that the schema knows; nothing when it allows others or may say more elsewhere.
fn known_params(schema: &Value) -> Option<BTreeSet<String>> {
    let properties = schema.get("properties");
    let others = match schema.get("additionalProperties") {
        None => properties.is_none(),
        Some(Value::Bool(allowed)) => *allowed,
        Some(_) => true,
    };
    let elsewhere = [
        "patternProperties",
        "$ref",
        "allOf",
        "anyOf",
        "oneOf",
        "if",
        "dependentSchemas",
    ];
    if others || elsewhere.iter().any(|key| schema.get(key).is_some()) {
        return None;
    }
    let names = properties
        .and_then(Value::as_object)
        .map(|map| map.keys().cloned().collect());
    Some(names.unwrap_or_default())
}

/// Where `root.name` stands in a text.
fn place_of(node: &Node, text: &str, root: &str, name: &str) -> Place {
    let wanted = format!("{root}.{name}");
    let found = text.match_indices(&wanted).find(|(at, _)| {
        let after = text[at + wanted.len()..].chars().next();
        let before = text[..*at].chars().next_back();
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !joins(after) && !joins(before) && before != Some('.')
    });
    match found {
        Some((at, _)) => node.place_of(text[..at].chars().count()),
        None => node.place,
    }
}

/// Where code holds what looks like an expression of this language. Braces alone are common in code (f-strings, awk),
/// so one of the language's own names must follow.
fn find_expression(text: &str) -> Option<usize> {
    const ROOTS: &[&str] = &["params", "tasks", "secrets", "execution", "workflow"];
    text.match_indices("{{").map(|(at, _)| at).find(|at| {
        let inner = text[at + 2..].trim_start_matches(['-', ' ', '\t']);
        ROOTS.iter().any(|root| {
            inner
                .strip_prefix(root)
                .is_some_and(|rest| rest.starts_with(['.', '[', ' ', '}', '|']))
        })
    })
}
