//! The JSON Schema of the workflow file, draft-07, for editors: generated from the model, then told what types alone
//! cannot say (one kind key, names, bounds).

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::kinds::{KEYS, KindName};
use crate::model::Workflow;

const ID: &str = "^[a-z][a-z0-9_]{0,62}$";

/// The JSON Schema (draft-07) of the workflow file.
#[must_use]
pub fn schema() -> Value {
    let generated = SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<Workflow>();
    let mut schema = generated.to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("$id".to_owned(), json!("https://nexus.dev/schemas/workflow.v1.json"));
        root.insert("title".to_owned(), json!("NEXUS workflow"));
    }
    amend(&mut schema, "/properties/name", &json!({"pattern": ID}));
    amend(
        &mut schema,
        "/properties/description",
        &json!({"maxLength": crate::parse::MAX_DESCRIPTION}),
    );
    amend(&mut schema, "/properties/params", &json!({"type": "object"}));
    amend(
        &mut schema,
        "/properties/tasks",
        &json!({"minProperties": 1, "maxProperties": crate::parse::MAX_TASKS, "propertyNames": {"pattern": ID}}),
    );
    task(&mut schema);
    amend(
        &mut schema,
        "/definitions/Task/properties/needs",
        &json!({"uniqueItems": true}),
    );
    amend(
        &mut schema,
        "/definitions/Task/properties/handles",
        &json!({"uniqueItems": true}),
    );
    amend(
        &mut schema,
        "/definitions/Task/properties/if",
        &json!({"type": ["string", "boolean"]}),
    );
    bounds(&mut schema);
    alternatives(&mut schema);
    drop_number_formats(&mut schema);
    schema
}

/// The numbers of the file and their bounds.
fn bounds(schema: &mut Value) {
    amend(
        schema,
        "/definitions/Retry/properties/max_attempts",
        &json!({"minimum": 1, "maximum": 1000}),
    );
    amend(
        schema,
        "/definitions/Retry/properties/backoff_coefficient",
        &json!({"minimum": 1, "maximum": 1000}),
    );
    amend(
        schema,
        "/definitions/Retry/properties/jitter",
        &json!({"minimum": 0, "maximum": 1}),
    );
    amend(
        schema,
        "/definitions/Http/properties/redirects",
        &json!({"maximum": 20}),
    );
    amend(
        schema,
        "/definitions/Sql/properties/max_rows",
        &json!({"minimum": 1, "maximum": 100_000}),
    );
    amend(
        schema,
        "/definitions/Grpc/properties/max_messages",
        &json!({"minimum": 1, "maximum": 10_000}),
    );
}

/// Fields of which exactly one must be there.
fn alternatives(schema: &mut Value) {
    amend(
        schema,
        "/definitions/Python",
        &json!({"oneOf": [{"required": ["code"]}, {"required": ["function"]}]}),
    );
    amend(
        schema,
        "/definitions/Sql",
        &json!({"oneOf": [{"required": ["connection"]}, {"required": ["url"]}]}),
    );
}

/// The schema as the committed file holds it.
#[must_use]
pub fn schema_text() -> String {
    // A value built in memory always serializes.
    let mut text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    text.push('\n');
    text
}

/// Turns the flattened kind into plain properties of a task of which exactly one must be there: editors complete and
/// explain properties, but see nothing inside alternatives that each forbid the others.
fn task(schema: &mut Value) {
    let Some(task) = schema.pointer_mut("/definitions/Task").and_then(Value::as_object_mut) else {
        return;
    };
    let alternatives = task.remove("oneOf").unwrap_or_default();
    let mut kinds = Map::new();
    for alternative in alternatives.as_array().into_iter().flatten() {
        let description = alternative.get("description").cloned();
        for (key, inner) in alternative
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let mut inner = json!({"allOf": [inner]});
            if let (Some(map), Some(description)) = (inner.as_object_mut(), &description) {
                map.insert("description".to_owned(), description.clone());
            }
            kinds.insert(key.clone(), inner);
        }
    }
    for kind in KindName::ALL.iter().filter(|kind| kind.may_be_bare()) {
        if let Some(found) = kinds.get_mut(kind.as_str()) {
            *found = json!({
                "description": found.get("description"),
                "anyOf": [found.pointer("/allOf/0"), {"type": "null"}],
            });
        }
    }
    if let Some(properties) = task.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend(kinds);
    }
    let required: Vec<Value> = KEYS.iter().map(|kind| json!({"required": [kind]})).collect();
    task.insert("oneOf".to_owned(), Value::Array(required));
    task.insert("additionalProperties".to_owned(), json!(false));
}

/// Adds to what stands at a place of the schema.
fn amend(schema: &mut Value, pointer: &str, more: &Value) {
    if let (Some(place), Some(more)) = (
        schema.pointer_mut(pointer).and_then(Value::as_object_mut),
        more.as_object(),
    ) {
        place.extend(more.clone());
    }
}

/// `uint32` and the like mean nothing to JSON Schema; editors warn about them.
fn drop_number_formats(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let number = |format: &Value| matches!(format.as_str(), Some("uint8" | "uint16" | "uint32" | "double"));
            if map.get("format").is_some_and(number) {
                map.remove("format");
            }
            map.values_mut().for_each(drop_number_formats);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_number_formats),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn the_committed_schema_is_the_one_of_the_model() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/workflow.v1.json");
        if std::env::var_os("NEXUS_UPDATE_SCHEMA").is_some() {
            std::fs::write(path, schema_text()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == schema_text(),
            "schemas/workflow.v1.json is out of date: run this test with NEXUS_UPDATE_SCHEMA=1 and commit the file"
        );
    }

    /// The schema and the reader agree about files that hold no expressions.
    #[test]
    fn editors_and_the_reader_agree() {
        let validator = jsonschema::draft7::new(&schema()).unwrap();
        let task = |task: Value| json!({"name": "w", "tasks": {"a": task}});
        let good = [
            task(json!({"noop": null})),
            task(json!({"noop": {"output": [1]}, "if": true, "timeout": "90s"})),
            task(json!({"python": {"function": "a:b", "args": {"x": 1}}, "retry": {"max_attempts": 3}})),
            task(json!({"python": {"function": "a:b", "isolation": "warm"}})),
            task(json!({"http": {"url": "https://x.dev", "method": "POST", "json": {}, "expect": ["2xx", 404]}})),
            task(
                json!({"grpc": {"target": "https://x.dev", "method": "a.v1.B/C", "message": {"n": 1}, "reflection": true}}),
            ),
            task(
                json!({"grpc": {"target": "http://x:1", "method": "B/C", "descriptor": "CgA=", "max_messages": 10000}}),
            ),
            task(json!({"sql": {"connection": "c", "statement": "select 1"}, "priority": "high"})),
            task(
                json!({"bash": {"run": "true", "env": {"A": "b"}}, "trigger_rule": "always", "delivery": "at_most_once"}),
            ),
        ];
        let repair = json!({"name": "w", "tasks": {"a": {"noop": {}}, "b": {"handles": ["a"], "noop": {}},
                            "c": {"needs": ["a"], "handles": [], "noop": {}}}});
        for document in good.into_iter().chain([repair]) {
            let problems: Vec<String> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
            assert!(problems.is_empty(), "{document}: {problems:?}");
            assert!(parse(&document.to_string(), "").workflow.is_some(), "{document}");
        }
        let bad = [
            json!({"name": "w", "tasks": {}}),
            json!({"tasks": {"a": {"noop": {}}}}),
            json!({"name": "W-1", "tasks": {"a": {"noop": {}}}}),
            json!({"name": "w", "tasks": {"a-b": {"noop": {}}}}),
            json!({"name": "w", "x": 1, "tasks": {"a": {"noop": {}}}}),
            task(json!({})),
            task(json!({"noop": {}, "bash": {"run": "x"}})),
            task(json!({"noop": {}, "x": 1})),
            task(json!({"python": {}})),
            task(json!({"python": {"code": "def main(): pass", "function": "a:b"}})),
            task(json!({"python": {"function": "a:b", "isolation": "thread"}})),
            task(json!({"bash": {}})),
            task(json!({"bash": {"run": "x", "runn": 1}})),
            task(json!({"http": {"url": "https://x.dev", "method": "get"}})),
            task(json!({"sql": {"statement": "select 1"}})),
            task(json!({"grpc": {"target": "https://x.dev"}})),
            task(json!({"grpc": {"method": "a.v1.B/C"}})),
            task(json!({"grpc": {"target": "https://x.dev", "method": "a.v1.B/C", "max_messages": 10001}})),
            task(json!({"grpc": {"target": "https://x.dev", "method": "a.v1.B/C", "tls": {"cat": "x"}}})),
            task(json!({"noop": {}, "timeout": 90})),
            task(json!({"noop": {}, "retry": {"max_attempts": 0}})),
            task(json!({"noop": {}, "trigger_rule": "all_succeeded"})),
            task(json!({"noop": {}, "handles": "b"})),
        ];
        for document in bad {
            assert!(!validator.is_valid(&document), "{document}");
            assert!(parse(&document.to_string(), "").workflow.is_none(), "{document}");
        }
    }
}
