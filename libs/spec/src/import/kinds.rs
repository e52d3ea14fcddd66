//! What a task of the earlier system did, as a kind of this one.

use serde_json::{Map, Value, json};

use super::Report;
use crate::kinds::KindName;
use crate::parse::parse;
use crate::sql;

/// The kind key and what stands under it. What cannot be carried over becomes a task that does nothing.
pub(super) fn convert(task: &Value, path: &str, report: &mut Report) -> (KindName, Value) {
    let kind = task
        .get("task_type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_lowercase();
    let empty = Value::Object(Map::new());
    let config = task.get("config").unwrap_or(&empty);
    let path = &format!("{path}/config");
    let converted = match kind.as_str() {
        "python" => python(config, path, report),
        "bash" | "shell" => bash(config, path, report),
        "http" => http(config, path, report),
        "sql" => sql_task(config, path, report),
        _ => Err(format!(
            "tasks of type {kind:?} are not available; the earlier system could not run them either"
        )),
    };
    match converted {
        Ok((kind, inner)) if is_readable(kind, &inner) => (kind, inner),
        Ok((kind, _)) => {
            report.lost(
                path,
                format!("this {kind} task cannot be written as a workflow file; it does nothing here"),
            );
            (KindName::Noop, json!({}))
        }
        Err(why) => {
            report.lost(path, format!("{why}; it does nothing here"));
            (KindName::Noop, json!({}))
        }
    }
}

/// True when the generated task has no errors of its own.
fn is_readable(kind: KindName, inner: &Value) -> bool {
    let probe = json!({"name": "probe", "tasks": {"probe": {kind.as_str(): inner}}});
    parse(&probe.to_string(), "").workflow.is_some()
}

type Converted = Result<(KindName, Value), String>;

fn python(config: &Value, path: &str, report: &mut Report) -> Converted {
    let code = config
        .get("code")
        .and_then(Value::as_str)
        .ok_or("a python task without code")?;
    report.meaning(path, "the code ran inside the orchestrator and set result; here it runs in a process of its own, inside main, which returns result");
    report.meaning(path, "inputs holds the execution's parameters; results of other tasks come by reference, such as args: {rows: \"{{ tasks.extract.output }}\"}");
    Ok((
        KindName::Python,
        json!({"code": wrap(code), "args": {"inputs": "{{ params }}"}}),
    ))
}

/// The code as the body of `main`. Where moving it to the right would change it (texts of several lines) or be an error
/// (star imports), it is run from a text instead.
fn wrap(code: &str) -> String {
    let code = code.replace("\r\n", "\n");
    if code.contains("\"\"\"") || code.contains("'''") || code.contains("import *") || code.contains("\\\n") {
        let literal = Value::String(code);
        return format!(
            "CODE = {literal}\n\ndef main(inputs):\n    scope = {{\"inputs\": inputs, \"result\": None}}\n    exec(CODE, scope)\n    return scope.get(\"result\")\n"
        );
    }
    let mut body = String::from("def main(inputs):\n    result = None\n");
    for line in code.trim_end().lines() {
        if !line.trim().is_empty() {
            body.push_str("    ");
            body.push_str(line);
        }
        body.push('\n');
    }
    body.push_str("    return result\n");
    body
}

fn bash(config: &Value, path: &str, report: &mut Report) -> Converted {
    let command = config
        .get("command")
        .or_else(|| config.get("script"))
        .and_then(Value::as_str)
        .ok_or("a bash task without a command")?;
    report.meaning(
        path,
        "an exit status other than 0 was a success; here it is a failure (append || true to ignore it)",
    );
    let mut inner = Map::new();
    inner.insert("run".to_owned(), json!(command));
    if let Some(env) = config
        .get("env")
        .and_then(Value::as_object)
        .filter(|env| !env.is_empty())
    {
        inner.insert("env".to_owned(), Value::Object(literal_texts(env)));
    }
    Ok((KindName::Bash, Value::Object(inner)))
}

fn http(config: &Value, path: &str, report: &mut Report) -> Converted {
    let url = config
        .get("url")
        .and_then(Value::as_str)
        .ok_or("an http task without a url")?;
    let method = config.get("method").and_then(Value::as_str).map(str::to_uppercase);
    let mut inner = Map::new();
    inner.insert("url".to_owned(), json!(literal(url)));
    if let Some(method) = method {
        inner.insert("method".to_owned(), json!(method));
    }
    if let Some(query) = config
        .get("params")
        .and_then(Value::as_object)
        .filter(|map| !map.is_empty())
    {
        inner.insert("query".to_owned(), literal_value(&Value::Object(query.clone())));
    }
    if let Some(headers) = config
        .get("headers")
        .and_then(Value::as_object)
        .filter(|map| !map.is_empty())
    {
        inner.insert("headers".to_owned(), Value::Object(literal_texts(headers)));
    }
    let body = ["json", "body", "data"]
        .into_iter()
        .find_map(|key| config.get(key).filter(|value| !value.is_null()));
    match body {
        Some(Value::String(text)) => {
            inner.insert("body".to_owned(), json!(literal(text)));
        }
        Some(value) => {
            inner.insert("json".to_owned(), literal_value(value));
        }
        None => {}
    }
    report.meaning(
        path,
        "a response other than 2xx is a failure here; list others that are fine under expect",
    );
    Ok((KindName::Http, Value::Object(inner)))
}

fn sql_task(config: &Value, path: &str, report: &mut Report) -> Converted {
    let query = config
        .get("query")
        .or_else(|| config.get("sql"))
        .and_then(Value::as_str)
        .ok_or("a sql task without a query")?;
    report.meaning(path, "the query ran on the orchestrator's own database; here it runs on the connection \"main\", which the worker must know");
    let given = config.get("params").or_else(|| config.get("parameters"));
    if given.is_some_and(Value::is_array) {
        return Err("a sql task with parameters by position".to_owned());
    }
    let given = given.and_then(Value::as_object).cloned().unwrap_or_default();
    let mut bind = Map::new();
    for placeholder in sql::placeholders(query) {
        let value = given.get(placeholder.name);
        if value.is_none() && !bind.contains_key(placeholder.name) {
            report.lost(
                path,
                format!("the parameter :{} had no value; it is null here", placeholder.name),
            );
        }
        bind.insert(
            placeholder.name.to_owned(),
            value.map(literal_value).unwrap_or_default(),
        );
    }
    let mut inner = Map::new();
    inner.insert("connection".to_owned(), json!("main"));
    inner.insert("statement".to_owned(), json!(query));
    if !bind.is_empty() {
        inner.insert("bind".to_owned(), Value::Object(bind));
    }
    Ok((KindName::Sql, Value::Object(inner)))
}

/// A text that is no template: the earlier system had no expressions, so braces meant themselves.
fn literal(text: &str) -> String {
    if !(text.contains("{{") || text.contains("{%") || text.contains("{#")) {
        return text.to_owned();
    }
    text.replace("{{", "{{ '{{' }}\u{0}")
        .replace("{%", "{{ '{%' }}")
        .replace("{#", "{{ '{#' }}")
        .replace('\u{0}', "")
}

fn literal_value(value: &Value) -> Value {
    match value {
        Value::String(text) => json!(literal(text)),
        Value::Array(items) => items.iter().map(literal_value).collect(),
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), literal_value(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// Values that must be single ones: lists and maps become JSON text.
fn literal_texts(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .map(|(key, value)| {
            let value = match value {
                Value::Array(_) | Value::Object(_) => json!(literal(&value.to_string())),
                other => literal_value(other),
            };
            (key.clone(), value)
        })
        .collect()
}
