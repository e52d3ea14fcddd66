//! A workflow's revision, as far as the checks need it: read from its JSON, without NEXUS's own parser.

use std::collections::BTreeSet;

use serde_json::Value;

/// A task of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskDocument {
    pub(crate) id: String,
    /// Positions of the tasks that it needs.
    pub(crate) needs: BTreeSet<usize>,
    /// Positions of the tasks that it handles.
    pub(crate) handles: BTreeSet<usize>,
    pub(crate) rule: String,
    pub(crate) at_most_once: bool,
    pub(crate) continue_on_error: bool,
    pub(crate) max_attempts: i64,
    /// Whether it reports to the witness: its input refers to `params.witness`.
    pub(crate) witnessed: bool,
}

/// A revision.
#[derive(Debug, Clone, Default)]
pub(crate) struct Document {
    pub(crate) tasks: Vec<TaskDocument>,
}

impl Document {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let document: Value = serde_json::from_str(text).map_err(|error| format!("a revision's document: {error}"))?;
        let tasks = document["tasks"]
            .as_object()
            .ok_or("a revision's document has no tasks")?;
        let ids: Vec<&String> = tasks.keys().collect();
        let position = |id: &str| ids.iter().position(|known| *known == id);
        let default_attempts = document["defaults"]["retry"]["max_attempts"].as_i64();
        let read = |(id, task): (&String, &Value)| {
            let handled = names(&task["handles"]);
            let mut needed = names(&task["needs"]);
            needed.extend(handled.iter().cloned());
            let mut expressions = Vec::new();
            gather(task, "", &mut expressions);
            for expression in &expressions {
                needed.extend(references(expression));
            }
            TaskDocument {
                id: id.clone(),
                needs: needed.iter().filter_map(|id| position(id)).collect(),
                handles: handled.iter().filter_map(|id| position(id)).collect(),
                rule: match task["trigger_rule"].as_str() {
                    None | Some("all_success") if !handled.is_empty() => "one_failed".to_owned(),
                    rule => rule.unwrap_or("all_success").to_owned(),
                },
                at_most_once: task["delivery"] == "at_most_once",
                continue_on_error: task["continue_on_error"] == true,
                max_attempts: task["retry"]["max_attempts"].as_i64().or(default_attempts).unwrap_or(1),
                witnessed: expressions.iter().any(|text| text.contains("params.witness")),
            }
        };
        Ok(Self {
            tasks: tasks.iter().map(read).collect(),
        })
    }

    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.tasks.iter().position(|task| task.id == id)
    }
}

/// A list of names; empty for none.
fn names(value: &Value) -> BTreeSet<String> {
    let names = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

/// Every expression of a task: what stands in double braces, and the bare `if`. Scripts hold none.
fn gather(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) if key == "if" => found.push(text.clone()),
        Value::String(text) => {
            let mut rest = text.as_str();
            while let Some((_, after)) = rest.split_once("{{") {
                let (inside, left) = after.split_once("}}").unwrap_or((after, ""));
                found.push(inside.to_owned());
                rest = left;
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, "", found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                if !matches!(key.as_str(), "run" | "code" | "statement") {
                    gather(value, key, found);
                }
            }
        }
        _ => {}
    }
}

/// The ids after `tasks.` in an expression.
fn references(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in expression.split("tasks.").skip(1) {
        let id: String = part
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect();
        found.insert(id);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_come_from_needs_and_from_expressions() {
        let document = Document::parse(
            r#"{"defaults":{"retry":{"max_attempts":4}},"tasks":{
                "a":{"noop":null},
                "b":{"needs":["a"],"delivery":"at_most_once","retry":{"max_attempts":2},
                     "bash":{"run":"echo tasks.c","env":{"W":"{{ params.witness }}"}}},
                "d":{"handles":["a","b"],"noop":null},
                "c":{"if":"tasks.b.output.n > 1","trigger_rule":"all_done","noop":{"output":["x {{ tasks.a.output }}"]}}}}"#,
        )
        .expect("document");
        let [a, b, d, c] = document.tasks.as_slice() else {
            panic!()
        };
        assert_eq!((a.max_attempts, a.needs.len(), a.witnessed), (4, 0, false));
        assert_eq!((b.max_attempts, b.needs.clone()), (2, BTreeSet::from([0])));
        assert_eq!((d.rule.as_str(), &d.needs), ("one_failed", &BTreeSet::from([0, 1])));
        assert_eq!((&d.handles, a.handles.len()), (&d.needs, 0));
        assert!(b.at_most_once && b.witnessed && !c.witnessed);
        assert_eq!((c.rule.as_str(), c.needs.clone()), ("all_done", BTreeSet::from([0, 1])));
    }
}
