//! Turns a workflow of the earlier Python system (JSON) into a workflow file, and says what changed meaning on the way.

mod kinds;

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::codes;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::names::{is_id, pointer_segment, to_id};
use crate::parse::parse;
use crate::yaml;

/// A workflow of the earlier system as a file of this one.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The workflow file.
    pub source_yaml: String,
    /// What changed meaning, what was renamed, and what could not be carried over (those are errors). Paths lead into
    /// the earlier document. Findings about the generated file itself (a cycle that was there before) come last.
    pub report: Vec<Diagnostic>,
}

/// Reads the earlier system's JSON. `name` is the workflow's name; when it is empty, the document's own is taken.
///
/// # Errors
/// When the text is not such a document, or nobody says what the workflow is called.
#[expect(
    clippy::result_large_err,
    reason = "one call per import; a box would only make callers unpack it"
)]
pub fn import(json_text: &str, name: &str) -> Result<Imported, Diagnostic> {
    let document: Value = serde_json::from_str(json_text).map_err(|error| Diagnostic {
        line: u32::try_from(error.line()).unwrap_or_default(),
        column: u32::try_from(error.column()).unwrap_or_default(),
        ..unreadable(format!("this is not valid JSON: {error}"))
    })?;
    let graph = document
        .get("dag_definition")
        .filter(|inner| inner.is_object())
        .unwrap_or(&document);
    let Some(tasks) = graph.get("tasks").and_then(Value::as_object) else {
        return Err(unreadable("the document has no map of tasks".to_owned()));
    };
    if tasks.is_empty() {
        return Err(unreadable("the document has no tasks".to_owned()));
    }
    let mut report = Report::default();
    let mut workflow = Map::new();
    workflow.insert("name".to_owned(), json!(workflow_name(&document, name, &mut report)?));
    if let Some(description) = text(&document, "description") {
        workflow.insert("description".to_owned(), json!(shorten(description)));
    }
    for key in ["schedule_cron", "schedule", "notifications", "is_active"] {
        if document.get(key).is_some_and(|value| !value.is_null()) {
            report.add(
                codes::IMPORT_UNSUPPORTED,
                Severity::Warning,
                &format!("/{key}"),
                format!("{key} is not carried over; the earlier system never acted on it"),
            );
        }
    }
    let ids = ids(tasks, &mut report);
    let mut converted = Map::new();
    for (key, task) in tasks {
        converted.insert(ids[key].clone(), convert(key, task, &ids, &mut report));
    }
    workflow.insert("tasks".to_owned(), Value::Object(converted));
    let source_yaml = yaml::emit(&Value::Object(workflow));
    let mut report = report.list;
    report.extend(parse(&source_yaml, "").diagnostics);
    Ok(Imported { source_yaml, report })
}

/// What was found so far.
#[derive(Default)]
pub(crate) struct Report {
    list: Vec<Diagnostic>,
}

impl Report {
    fn add(&mut self, code: Code, severity: Severity, path: &str, message: String) {
        self.list.push(Diagnostic {
            severity,
            path: path.to_owned(),
            ..finding(code, message)
        });
    }

    /// Something works otherwise than before.
    pub(crate) fn meaning(&mut self, path: &str, message: impl Into<String>) {
        self.add(codes::IMPORT_MEANING, Severity::Warning, path, message.into());
    }

    /// Something is lost.
    pub(crate) fn lost(&mut self, path: &str, message: impl Into<String>) {
        self.add(codes::IMPORT_UNSUPPORTED, Severity::Error, path, message.into());
    }
}

fn finding(code: Code, message: String) -> Diagnostic {
    Diagnostic {
        code,
        severity: Severity::Error,
        message,
        fix: String::new(),
        path: String::new(),
        file: String::new(),
        line: 0,
        column: 0,
    }
}

fn unreadable(message: String) -> Diagnostic {
    Diagnostic {
        fix: "give the JSON of one workflow: {\"tasks\": {key: {task_type, config, depends_on}}}".to_owned(),
        ..finding(codes::IMPORT_UNREADABLE, message)
    }
}

#[expect(clippy::result_large_err, reason = "the same error as its only caller's")]
fn workflow_name(document: &Value, name: &str, report: &mut Report) -> Result<String, Diagnostic> {
    let wanted = if name.is_empty() {
        text(document, "name").unwrap_or_default()
    } else {
        name
    };
    if wanted.is_empty() {
        return Err(Diagnostic {
            fix: "say what it should be called".to_owned(),
            ..finding(
                codes::IMPORT_UNREADABLE,
                "the document does not name the workflow".to_owned(),
            )
        });
    }
    if is_id(wanted) {
        return Ok(wanted.to_owned());
    }
    let id = to_id(wanted, "workflow");
    report.add(
        codes::IMPORT_RENAMED,
        Severity::Warning,
        "/name",
        format!("the workflow {wanted:?} is called {id} here"),
    );
    Ok(id)
}

/// A new id for every key; keys that would become the same id are numbered.
fn ids(tasks: &Map<String, Value>, report: &mut Report) -> HashMap<String, String> {
    let mut ids: HashMap<String, String> = HashMap::new();
    let mut taken: Vec<String> = tasks.keys().filter(|key| is_id(key)).cloned().collect();
    for key in tasks.keys() {
        if is_id(key) {
            ids.insert(key.clone(), key.clone());
            continue;
        }
        let base = to_id(key, "task");
        let mut id = base.clone();
        let mut number = 2;
        while taken.contains(&id) {
            let suffix = format!("_{number}");
            id = format!("{}{suffix}", &base[..base.len().min(63 - suffix.len())]);
            number += 1;
        }
        taken.push(id.clone());
        let path = format!("/tasks/{}", pointer_segment(key));
        report.add(
            codes::IMPORT_RENAMED,
            Severity::Warning,
            &path,
            format!("the task {key:?} is called {id} here"),
        );
        ids.insert(key.clone(), id);
    }
    ids
}

fn convert(key: &str, task: &Value, ids: &HashMap<String, String>, report: &mut Report) -> Value {
    let path = format!("/tasks/{}", pointer_segment(key));
    let mut converted = Map::new();
    let described = text(task, "description").or_else(|| text(task, "name").filter(|name| *name != key));
    if let Some(description) = described {
        converted.insert("description".to_owned(), json!(shorten(description)));
    }
    let needs = needs(key, task, ids, &path, report);
    if !needs.is_empty() {
        converted.insert("needs".to_owned(), json!(needs));
    }
    retry(task, &path, &mut converted, report);
    const KNOWN: &[&str] = &[
        "task_key",
        "name",
        "description",
        "task_type",
        "config",
        "depends_on",
        "retry_config",
    ];
    if let Some(map) = task.as_object() {
        for (field, _) in map
            .iter()
            .filter(|(field, value)| !KNOWN.contains(&field.as_str()) && !value.is_null())
        {
            let path = format!("{path}/{}", pointer_segment(field));
            report.add(
                codes::IMPORT_UNSUPPORTED,
                Severity::Warning,
                &path,
                format!("{field} is not carried over; the earlier system never acted on it"),
            );
        }
    }
    let (kind, inner) = kinds::convert(task, &path, report);
    converted.insert(kind.to_string(), inner);
    Value::Object(converted)
}

fn needs(key: &str, task: &Value, ids: &HashMap<String, String>, path: &str, report: &mut Report) -> Vec<String> {
    let mut needs: Vec<String> = Vec::new();
    for (i, wanted) in task
        .get("depends_on")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        let id = wanted.as_str().and_then(|wanted| ids.get(wanted));
        match id {
            Some(id) if needs.contains(id) => {}
            Some(id) if ids.get(key) == Some(id) => report.lost(
                &format!("{path}/depends_on/{i}"),
                "a task that waits for itself never starts; this dependency is left out",
            ),
            Some(id) => needs.push(id.clone()),
            None => report.lost(
                &format!("{path}/depends_on/{i}"),
                format!("there is no task {wanted}; this dependency is left out"),
            ),
        }
    }
    needs
}

/// Retries and the time limit.
fn retry(task: &Value, path: &str, converted: &mut Map<String, Value>, report: &mut Report) {
    let config = task.get("retry_config").unwrap_or(&Value::Null);
    let seconds = |key: &str| {
        config
            .get(key)
            .and_then(Value::as_f64)
            .filter(|seconds| *seconds > 0.0 && *seconds <= 315_360_000.0)
    };
    let attempts = config
        .get("max_retries")
        .and_then(Value::as_f64)
        .filter(|count| count.is_finite());
    if let Some(attempts) = attempts {
        let attempts = attempts.clamp(1.0, 1_000.0).floor();
        if attempts > 1.0 {
            let mut retry = Map::new();
            // Clamped to 1..=1000 above.
            #[allow(clippy::cast_possible_truncation)]
            retry.insert("max_attempts".to_owned(), json!(attempts as i64));
            if let Some(delay) = seconds("retry_delay") {
                retry.insert("initial_interval".to_owned(), json!(span(delay)));
            }
            converted.insert("retry".to_owned(), Value::Object(retry));
        }
        report.meaning(
            &format!("{path}/retry_config/max_retries"),
            format!("max_retries counted attempts, not retries: it is max_attempts: {attempts} here"),
        );
    }
    if let Some(timeout) = seconds("timeout") {
        converted.insert("timeout".to_owned(), json!(span(timeout)));
        report.meaning(
            &format!("{path}/retry_config/timeout"),
            "the time limit now stops the task; before, a task ran on after it",
        );
    }
}

fn span(seconds: f64) -> String {
    // At most ten years, far within an i64 of milliseconds; at least a millisecond, because zero is no limit.
    #[allow(clippy::cast_possible_truncation)]
    let millis = (seconds * 1_000.0).round().max(1.0) as i64;
    crate::Span::from_micros(millis * 1_000).to_string()
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value
        .get(key)
        .and_then(Value::as_str)
        .filter(|text| !text.trim().is_empty())
}

fn shorten(text: &str) -> String {
    let mut end = text.len().min(crate::parse::MAX_DESCRIPTION);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().filter(|c| !c.is_control() || *c == '\n').collect()
}

#[cfg(test)]
mod tests;
