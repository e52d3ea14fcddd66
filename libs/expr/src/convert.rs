//! From minijinja values back to JSON, exactly and within bounds.

use minijinja::value::{Value as JinjaValue, ValueKind};
use serde_json::{Map, Number, Value};

use super::{MAX_DEPTH, MAX_OUTPUT};

/// How many bytes may still be rendered.
pub(super) struct Budget {
    left: usize,
}

/// Why a value cannot be JSON.
pub(super) enum Unfit {
    /// A part of it is undefined.
    Undefined,
    /// Anything else, in words.
    Other(String),
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { left: MAX_OUTPUT }
    }

    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), Unfit> {
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or_else(|| Unfit::Other(format!("the rendered value is larger than {MAX_OUTPUT} bytes")))?;
        Ok(())
    }
}

/// Turns a value into JSON. Integers stay integers; keys that are not text are written as text.
pub(super) fn to_json(value: &JinjaValue, budget: &mut Budget, depth: usize) -> Result<Value, Unfit> {
    if depth > MAX_DEPTH {
        return Err(Unfit::Other(format!("the value is nested deeper than {MAX_DEPTH}")));
    }
    match value.kind() {
        ValueKind::Undefined => Err(Unfit::Undefined),
        ValueKind::None => budget.spend(4).map(|()| Value::Null),
        ValueKind::Bool => budget.spend(5).map(|()| Value::Bool(value.is_true())),
        ValueKind::Number => budget.spend(8).and_then(|()| number(value)),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            budget.spend(text.len() + 2)?;
            Ok(Value::String(text.to_owned()))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            budget.spend(2)?;
            let mut items = Vec::new();
            for item in value.try_iter().map_err(other)?.checked() {
                budget.spend(1)?;
                items.push(to_json(&item.map_err(other)?, budget, depth + 1)?);
            }
            Ok(Value::Array(items))
        }
        ValueKind::Map => object(value, budget, depth),
        kind => Err(Unfit::Other(format!("a {kind} cannot be written as JSON"))),
    }
}

fn object(value: &JinjaValue, budget: &mut Budget, depth: usize) -> Result<Value, Unfit> {
    budget.spend(2)?;
    let mut map = Map::new();
    for key in value.try_iter().map_err(other)?.checked() {
        let key = key.map_err(other)?;
        let text = match key.as_str() {
            Some(text) => text.to_owned(),
            None => key.to_string(),
        };
        budget.spend(text.len() + 4)?;
        let entry = value.get_item(&key).map_err(other)?;
        map.insert(text, to_json(&entry, budget, depth + 1)?);
    }
    Ok(Value::Object(map))
}

fn number(value: &JinjaValue) -> Result<Value, Unfit> {
    if value.is_integer() {
        if let Ok(integer) = i64::try_from(value.clone()) {
            return Ok(Value::Number(integer.into()));
        }
        return match u64::try_from(value.clone()) {
            Ok(integer) => Ok(Value::Number(integer.into())),
            Err(_) => Err(Unfit::Other(format!("the integer {value} does not fit into 64 bits"))),
        };
    }
    f64::try_from(value.clone())
        .ok()
        .and_then(Number::from_f64)
        .map(Value::Number)
        .ok_or_else(|| Unfit::Other(format!("the number {value} cannot be written as JSON")))
}

fn other(error: minijinja::Error) -> Unfit {
    Unfit::Other(error.detail().map_or_else(|| error.kind().to_string(), str::to_owned))
}
