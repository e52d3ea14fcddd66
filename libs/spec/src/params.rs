//! The parameters of an execution against the workflow's JSON Schema (2020-12).

use jsonschema::Validator;
use serde_json::{Map, Value};

use crate::names::pointer_segment;
use nexus_expr::nearest;

/// What is wrong with one parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamError {
    /// JSON pointer into the parameters; empty for the parameters themselves.
    pub path: String,
    /// What is wrong. Never holds the value, which may be secret.
    pub message: String,
}

impl std::fmt::Display for ParamError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Fills in the defaults of absent parameters and checks the result. Without a schema any object is taken.
///
/// # Errors
/// Everything that is wrong with the parameters; also when the schema itself cannot be used.
pub fn validate_params(schema: Option<&Value>, params: &Value) -> Result<Value, Vec<ParamError>> {
    let Value::Object(given) = params else {
        return Err(vec![ParamError {
            path: String::new(),
            message: "parameters must be a JSON object".to_owned(),
        }]);
    };
    let Some(schema) = schema else {
        return Ok(params.clone());
    };
    let validator = compile(schema).map_err(|problem| {
        vec![ParamError {
            path: String::new(),
            message: format!("the schema cannot be used: {}", problem.message),
        }]
    })?;
    let filled = Value::Object(with_defaults(schema, given));
    let errors: Vec<ParamError> = validator
        .iter_errors(&filled)
        .map(|error| ParamError {
            path: error.instance_path().to_string(),
            message: error.masked().to_string(),
        })
        .chain(unknown_names(schema, given))
        .collect();
    if errors.is_empty() { Ok(filled) } else { Err(errors) }
}

/// Names that the schema does not list. JSON Schema lets them pass unless it says otherwise; here a misspelt parameter
/// must not be lost silently, so they pass only when the schema says so.
fn unknown_names(schema: &Value, given: &Map<String, Value>) -> Vec<ParamError> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    let open = [
        "additionalProperties",
        "patternProperties",
        "$ref",
        "allOf",
        "anyOf",
        "oneOf",
        "if",
        "dependentSchemas",
    ];
    if open.iter().any(|key| schema.get(key).is_some()) {
        return Vec::new();
    }
    given
        .keys()
        .filter(|name| !properties.contains_key(*name))
        .map(|name| ParamError {
            path: format!("/{}", pointer_segment(name)),
            message: match nearest(name, properties.keys().map(String::as_str)) {
                Some(near) => format!("unknown parameter {name:?}, did you mean {near:?}?"),
                None => format!("unknown parameter {name:?}"),
            },
        })
        .collect()
}

/// Fills in defaults, also inside objects that are there.
fn with_defaults(schema: &Value, given: &Map<String, Value>) -> Map<String, Value> {
    let mut filled = given.clone();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return filled;
    };
    for (name, property) in properties {
        match filled.get_mut(name) {
            Some(Value::Object(inner)) => *inner = with_defaults(property, inner),
            Some(_) => {}
            None => {
                if let Some(default) = property.get("default") {
                    filled.insert(name.clone(), default.clone());
                }
            }
        }
    }
    filled
}

/// What is wrong with a schema.
pub(crate) struct SchemaProblem {
    /// JSON pointer into the schema.
    pub(crate) path: String,
    pub(crate) message: String,
    pub(crate) fix: Option<String>,
    /// True when a default does not satisfy its own schema.
    pub(crate) is_default: bool,
}

/// Checks that `params` of a workflow is a schema of objects whose defaults satisfy it.
pub(crate) fn check_schema(schema: &Value) -> Vec<SchemaProblem> {
    let problem = |path: String, message: String, fix: Option<&str>| SchemaProblem {
        path,
        message,
        fix: fix.map(str::to_owned),
        is_default: false,
    };
    let mut problems: Vec<SchemaProblem> = jsonschema::draft202012::meta::validator()
        .iter_errors(schema)
        .map(|error| {
            problem(
                error.instance_path().to_string(),
                format!("this is not a valid JSON Schema: {error}"),
                None,
            )
        })
        .collect();
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {}
        None if schema.get("type").is_none() && schema_keywords(schema) => {}
        None if schema.get("type").is_none() => problems.push(problem(
            String::new(),
            "params is a JSON Schema, and this one describes nothing".to_owned(),
            Some("write type: object and the parameters under properties"),
        )),
        _ => problems.push(problem(
            "/type".to_owned(),
            "parameters are an object".to_owned(),
            Some("write type: object and the parameters under properties"),
        )),
    }
    if !problems.is_empty() {
        return problems;
    }
    match compile(schema) {
        Ok(_) => check_defaults(schema),
        Err(problem) => vec![problem],
    }
}

fn schema_keywords(schema: &Value) -> bool {
    const KEYWORDS: &[&str] = &[
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
        "$ref",
        "$defs",
        "allOf",
        "anyOf",
        "oneOf",
        "minProperties",
        "maxProperties",
        "propertyNames",
        "description",
    ];
    schema
        .as_object()
        .is_some_and(|map| map.is_empty() || map.keys().any(|key| KEYWORDS.contains(&key.as_str())))
}

/// Validates an object of all the defaults against the schema without its demand for the parameters that have none.
fn check_defaults(schema: &Value) -> Vec<SchemaProblem> {
    let defaults = with_defaults(schema, &Map::new());
    if defaults.is_empty() {
        return Vec::new();
    }
    let mut lenient = schema.clone();
    if let Value::Object(map) = &mut lenient {
        for key in [
            "required",
            "minProperties",
            "dependentRequired",
            "allOf",
            "anyOf",
            "oneOf",
            "if",
            "not",
        ] {
            map.shift_remove(key);
        }
    }
    let Ok(validator) = compile(&lenient) else {
        return Vec::new();
    };
    let instance = Value::Object(defaults);
    validator
        .iter_errors(&instance)
        .filter_map(|error| {
            let path = error.instance_path().to_string();
            let name = path.split('/').nth(1)?;
            Some(SchemaProblem {
                path: format!("/properties/{name}/default"),
                message: format!("the default of {name} does not satisfy its own schema: {error}"),
                fix: Some("change the default or the schema".to_owned()),
                is_default: true,
            })
        })
        .collect()
}

fn compile(schema: &Value) -> Result<Validator, SchemaProblem> {
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| SchemaProblem {
            path: error.instance_path().to_string(),
            message: format!("the schema cannot be used: {error}"),
            fix: None,
            is_default: false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "day": {"type": "string", "format": "date"},
                "regions": {"type": "array", "items": {"type": "string"}, "default": ["eu"]},
                "limit": {"type": "integer", "minimum": 1, "default": 10},
                "deep": {"type": "object", "properties": {"x": {"default": 1}}}
            },
            "required": ["day"]
        })
    }

    #[test]
    fn defaults_are_filled_in_and_the_rest_is_kept() {
        let filled = validate_params(Some(&schema()), &json!({"day": "2026-11-01", "deep": {}})).unwrap();
        assert_eq!(
            filled,
            json!({"day": "2026-11-01", "deep": {"x": 1}, "regions": ["eu"], "limit": 10})
        );
        assert_eq!(validate_params(None, &json!({"any": 1})).unwrap(), json!({"any": 1}));
    }

    #[test]
    fn everything_wrong_is_told_without_the_values() {
        let errors =
            validate_params(Some(&schema()), &json!({"regions": "hunter2", "limit": 0, "dya": 1})).unwrap_err();
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(shown.iter().any(|e| e.contains("\"day\" is a required")), "{shown:?}");
        assert!(shown.iter().any(|e| e.starts_with("/regions: ")), "{shown:?}");
        assert!(shown.iter().any(|e| e.starts_with("/limit: ")), "{shown:?}");
        assert!(
            shown
                .iter()
                .any(|e| e == "/dya: unknown parameter \"dya\", did you mean \"day\"?"),
            "{shown:?}"
        );
        assert!(!shown.concat().contains("hunter2"));
        assert!(
            validate_params(Some(&schema()), &json!({"day": "not a date"})).is_err(),
            "formats count"
        );
        assert!(validate_params(None, &json!([1])).is_err());
    }

    #[test]
    fn schemas_and_their_defaults_are_checked() {
        let paths = |schema: Value| -> Vec<(String, bool)> {
            check_schema(&schema)
                .into_iter()
                .map(|p| (p.path, p.is_default))
                .collect()
        };
        assert!(paths(schema()).is_empty());
        assert_eq!(
            paths(json!({"type": "object", "properties": {"a": {"type": "strng"}}})),
            [("/properties/a/type".to_owned(), false)]
        );
        assert_eq!(paths(json!({"type": "array"})), [("/type".to_owned(), false)]);
        assert_eq!(paths(json!({"day": {"type": "string"}})), [(String::new(), false)]);
        let bad_default =
            json!({"type": "object", "required": ["b"], "properties": {"a": {"type": "integer", "default": "x"}}});
        assert_eq!(paths(bad_default), [("/properties/a/default".to_owned(), true)]);
        let remote = json!({"type": "object", "$ref": "https://example.com/schema.json"});
        assert_eq!(paths(remote).len(), 1, "nothing is fetched");
    }
}
