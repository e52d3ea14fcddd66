//! What expressions can see, and how it becomes a minijinja context.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Serde, Value as JinjaValue};
use serde_json::Value;

use super::references::Need;

/// What the expressions of one execution can see at one moment.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The execution's parameters: an object.
    pub params: Arc<Value>,
    /// The tasks that have ended, by id.
    pub tasks: BTreeMap<String, TaskView>,
    /// The execution's id.
    pub execution: String,
    /// The namespace that it belongs to.
    pub namespace: Arc<str>,
    /// The workflow's name.
    pub workflow: String,
    /// The revision's number.
    pub revision: u32,
    /// Random text that makes secret placeholders unguessable for anybody who writes parameters or outputs.
    pub nonce: String,
}

/// What expressions can see of a task.
#[derive(Debug, Clone, Default)]
pub struct TaskView {
    /// The state's name: `SUCCEEDED`, `FAILED`, `SKIPPED`, ...
    pub state: String,
    /// The output; shown as `null` when there is none.
    pub output: Option<Arc<Value>>,
    /// The failure as `{type, message, ...}`; shown as `null` when there is none.
    pub error: Option<Value>,
}

impl Scope {
    /// The placeholder that stands for a secret until the worker fills it in.
    #[must_use]
    pub fn placeholder(&self, secret: &str) -> String {
        format!("⟦secret:{}:{secret}⟧", self.nonce)
    }

    /// The minijinja context with the parts that are needed.
    pub(super) fn context(&self, need: &Need) -> JinjaValue {
        let mut roots: Vec<(&str, JinjaValue)> = Vec::with_capacity(4);
        if let Some(need) = need.keys.get("params") {
            roots.push(("params", pruned(&self.params, need)));
        }
        if let Some(need) = need.keys.get("tasks") {
            let tasks = need
                .keys
                .iter()
                .filter_map(|(id, need)| Some((id.clone(), task_value(self.tasks.get(id)?, need))));
            roots.push(("tasks", JinjaValue::from_pairs(tasks)));
        }
        if need.keys.contains_key("execution") {
            let fields = [
                ("id", JinjaValue::from(self.execution.clone())),
                ("namespace", JinjaValue::from(Arc::clone(&self.namespace))),
            ];
            roots.push(("execution", JinjaValue::from_pairs(fields)));
        }
        if need.keys.contains_key("workflow") {
            let fields = [
                ("name", JinjaValue::from(self.workflow.clone())),
                ("revision", JinjaValue::from(self.revision)),
            ];
            roots.push(("workflow", JinjaValue::from_pairs(fields)));
        }
        JinjaValue::from_pairs(roots)
    }

    /// Says why a path is undefined: where it breaks off and what is there instead. Nothing when it is defined.
    pub(super) fn explain(&self, path: &[String]) -> Option<String> {
        let segments: Vec<&str> = path.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["params", rest @ ..] => explain_in(&self.params, "params", rest),
            ["tasks", id, rest @ ..] => {
                let Some(task) = self.tasks.get(*id) else {
                    return Some(format!("`tasks.{id}` is undefined: the task has not ended"));
                };
                let (field, rest) = rest.split_first()?;
                let parent = format!("tasks.{id}.{field}");
                let (value, what) = match *field {
                    "output" => (task.output.as_deref(), "output"),
                    "error" => (task.error.as_ref(), "error"),
                    _ => return None,
                };
                match value {
                    Some(value) => explain_in(value, &parent, rest),
                    None if rest.is_empty() => None,
                    None => Some(format!(
                        "`{parent}.{}` is undefined: task {id:?} is {} and has no {what}",
                        rest.join("."),
                        task.state
                    )),
                }
            }
            _ => None,
        }
    }
}

fn explain_in(value: &Value, name: &str, rest: &[&str]) -> Option<String> {
    let mut value = value;
    let mut name = name.to_owned();
    for key in rest {
        let next = match value {
            Value::Object(map) => map.get(*key),
            _ => None,
        };
        let Some(next) = next else {
            return Some(format!("`{name}.{key}` is undefined: `{name}` {}", describe(value)));
        };
        name = format!("{name}.{key}");
        value = next;
    }
    None
}

/// What a value is, for somebody who looked for a key in it. Shows keys, never values.
fn describe(value: &Value) -> String {
    match value {
        Value::Object(map) if map.is_empty() => "is empty".to_owned(),
        Value::Object(map) => {
            let mut keys: Vec<&str> = map.keys().take(12).map(String::as_str).collect();
            if map.len() > keys.len() {
                keys.push("…");
            }
            format!("has {}", keys.join(", "))
        }
        Value::Array(items) => format!("is a list of {}", items.len()),
        Value::String(_) => "is text".to_owned(),
        Value::Number(_) => "is a number".to_owned(),
        Value::Bool(_) => "is true or false".to_owned(),
        Value::Null => "is null".to_owned(),
    }
}

fn task_value(task: &TaskView, need: &Need) -> JinjaValue {
    let part = |name: &str, value: Option<&Value>| -> JinjaValue {
        let need = if need.all { Some(need) } else { need.keys.get(name) };
        match (need, value) {
            (Some(need), Some(value)) => pruned(value, need),
            _ => JinjaValue::from(()),
        }
    };
    JinjaValue::from_pairs([
        ("state", JinjaValue::from(task.state.clone())),
        ("output", part("output", task.output.as_deref())),
        ("error", part("error", task.error.as_ref())),
    ])
}

/// A JSON value as minijinja sees it, with only the keys that are needed.
fn pruned(value: &Value, need: &Need) -> JinjaValue {
    match value {
        Value::Object(map) if !need.all => {
            let entries = need
                .keys
                .iter()
                .filter_map(|(key, need)| Some((key.clone(), pruned(map.get(key)?, need))));
            JinjaValue::from_pairs(entries)
        }
        _ => JinjaValue::from(Serde(value)),
    }
}
