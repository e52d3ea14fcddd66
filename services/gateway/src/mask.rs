//! What a change is about that says no mask: the members of its body, so that one that is given empty or false is changed
//! like any other. Pure.

use std::collections::BTreeMap;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};
use serde::de::IgnoredAny;

use crate::catalog::Operation;
use crate::problem::Problem;
use crate::template::Bindings;

/// The field of a request that names what it changes.
const MASK: &str = "update_mask";
/// Fields of such a request that are about the request itself.
const ASIDE: [&str; 4] = [MASK, "etag", "request_id", "message"];

/// Makes the mask of a request that has room for one and says none. `object` is its body, where that is JSON.
///
/// # Errors
/// When there is nothing to change.
pub(crate) fn complete(
    message: &mut DynamicMessage,
    operation: &Operation,
    bindings: &Bindings,
    object: &[u8],
) -> Result<(), Problem> {
    let input = operation.input();
    let Some(field) = input.get_field_by_name(MASK) else {
        return Ok(());
    };
    let Kind::Message(mask) = field.kind() else {
        return Ok(());
    };
    if message.has_field(&field) {
        return Ok(());
    }
    // It was read as the message before, so that each member is a field.
    let members: BTreeMap<String, IgnoredAny> = serde_json::from_slice(object).unwrap_or_default();
    let changeable = |field: &FieldDescriptor| {
        !ASIDE.contains(&field.name()) && !bindings.iter().any(|(path, _)| path == field.name())
    };
    let given = |field: &FieldDescriptor| {
        message.has_field(field) || members.contains_key(field.name()) || members.contains_key(field.json_name())
    };
    let fields: Vec<FieldDescriptor> = input.fields().filter(changeable).collect();
    let names: Vec<String> = fields
        .iter()
        .filter(|field| given(field))
        .map(|field| field.name().to_owned())
        .collect();
    if names.is_empty() {
        let fields: Vec<&str> = fields.iter().map(FieldDescriptor::name).collect();
        let problem = format!("must have what is to be changed: {}", fields.join(", "));
        return Err(Problem::field("body", problem));
    }
    let mut value = DynamicMessage::new(mask);
    let paths = names.into_iter().map(Value::String).collect();
    // The field of a mask, by its contract.
    drop(value.try_set_field_by_name("paths", Value::List(paths)));
    message.set_field(&field, Value::Message(value));
    Ok(())
}
