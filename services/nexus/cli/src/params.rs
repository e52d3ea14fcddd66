//! Parameters as they are typed, turned into what the workflow's schema asks for. Pure but for the reader of files.

use nexus_cli_frame::CliError;
use serde_json::{Map, Value};

/// Lays typed pairs over a base. `read` gives the content of `KEY=@FILE`.
pub(super) fn parse(
    base: Option<Value>,
    pairs: &[String],
    schema: Option<&Value>,
    read: impl Fn(&str) -> Result<String, CliError>,
) -> Result<Map<String, Value>, CliError> {
    let mut params = match base {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map,
        Some(other) => {
            return Err(CliError::Usage(format!(
                "the file of --params must hold an object, not {}",
                kind(&other)
            )));
        }
    };
    for pair in pairs {
        let (key, typed) = split(pair, "-p")?;
        let text = match typed.strip_prefix('@') {
            Some(rest) if rest.starts_with('@') => rest.to_owned(),
            Some(path) => read(path)?,
            None => typed.to_owned(),
        };
        let property = schema
            .and_then(|schema| schema.get("properties"))
            .and_then(|all| all.get(key));
        params.insert(key.to_owned(), value(key, &text, property)?);
    }
    Ok(params)
}

/// Labels from pairs.
pub(super) fn labels(pairs: &[String]) -> Result<std::collections::HashMap<String, String>, CliError> {
    pairs
        .iter()
        .map(|pair| split(pair, "--label").map(|(key, value)| (key.to_owned(), value.to_owned())))
        .collect()
}

fn split<'a>(pair: &'a str, option: &str) -> Result<(&'a str, &'a str), CliError> {
    match pair.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim(), value)),
        _ => Err(CliError::Usage(format!("{option} takes KEY=VALUE, not `{pair}`"))),
    }
}

/// A typed text as a value. Where the schema says a string it stays text; where it says something else it must be that;
/// where it says nothing, what reads as JSON is JSON.
fn value(key: &str, text: &str, property: Option<&Value>) -> Result<Value, CliError> {
    let parsed = serde_json::from_str::<Value>(text.trim()).ok();
    let types = types(property);
    if types.is_empty() {
        // A quoted text is left as typed: whoever types quotes without a schema may mean them.
        return Ok(parsed
            .filter(|value| !value.is_string())
            .unwrap_or_else(|| Value::String(text.to_owned())));
    }
    if let Some(value) = parsed
        && types.iter().any(|wanted| fits(&value, wanted))
        && !value.is_string()
    {
        return Ok(value);
    }
    if types.contains(&"string") {
        return Ok(Value::String(text.to_owned()));
    }
    let wanted = types.join(" or ");
    Err(CliError::Invalid(format!(
        "parameter {key} must be {wanted}, and `{}` is not",
        nexus_cli_frame::table::cut(text, 60)
    )))
}

/// The types that a property allows; none when its schema does not say.
fn types(property: Option<&Value>) -> Vec<&str> {
    let Some(property) = property else { return Vec::new() };
    match property.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        // An enumeration of texts is text.
        _ => match property.get("enum").and_then(Value::as_array) {
            Some(values) if values.iter().all(Value::is_string) => vec!["string"],
            _ => Vec::new(),
        },
    }
}

fn fits(value: &Value, wanted: &str) -> bool {
    match wanted {
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => kind(value) == other,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(path: &str) -> Result<String, CliError> {
        Ok(format!("[\"{path}\"]"))
    }

    fn parsed(pairs: &[&str], schema: Option<&Value>) -> Result<Value, CliError> {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        parse(Some(json!({"base": 1, "n": 0})), &pairs, schema, read).map(Value::Object)
    }

    #[test]
    fn the_schema_decides_and_without_one_json_is_json() {
        let schema = json!({"properties": {
            "zip": {"type": "string"}, "n": {"type": "integer"}, "list": {"type": "array"},
            "maybe": {"type": ["string", "null"]}, "level": {"enum": ["1", "2"]}}});
        let got = parsed(
            &["zip=007", "n=7", "list=@f.json", "maybe=null", "level=1", "free=true"],
            Some(&schema),
        );
        assert_eq!(
            got.expect("params"),
            json!({"base": 1, "n": 7, "zip": "007", "list": ["f.json"], "maybe": null, "level": "1", "free": true})
        );
        let free = parsed(&["a=1", "b=x=y", "c={\"k\": [1]}", "d=\"q\"", "e=@@me", "f="], None).expect("params");
        assert_eq!(
            free,
            json!({"base": 1, "n": 0, "a": 1, "b": "x=y", "c": {"k": [1]}, "d": "\"q\"", "e": "@me", "f": ""})
        );
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let schema = json!({"properties": {"n": {"type": "integer"}}});
        for bad in ["n=1.5", "n=many", "n="] {
            let error = parsed(&[bad], Some(&schema)).expect_err(bad);
            assert!(
                matches!(error, CliError::Invalid(_)) && error.to_string().contains("integer"),
                "{error}"
            );
        }
        assert!(matches!(parsed(&["novalue"], None), Err(CliError::Usage(_))));
        assert!(parse(Some(json!([1])), &[], None, read).is_err());
    }
}
