//! JSON values as Postgres parameters. What is not bound here as it is goes to the server as text, which makes a value
//! of the parameter's type of it: that knows every type, every domain and every spelling.

use std::str::FromStr;

use base64::Engine;
use serde_json::Value;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::types::Json;
use sqlx::types::chrono::DateTime;
use sqlx::{Arguments, AssertSqlSafe, Row};

use super::catalog::{Binary, Catalog, oid};
use crate::failure;
use nexus_attempt::Failure;

/// The arguments of a statement whose parameters have these types.
pub(super) async fn arguments(
    connection: &mut PgConnection,
    values: &[Value],
    types: &[u32],
    catalog: &Catalog,
) -> Result<PgArguments, Failure> {
    let mut made = made(connection, values, types, catalog).await?.into_iter();
    let mut arguments = PgArguments::default();
    for (index, (value, number)) in values.iter().zip(types).enumerate() {
        let added = if is_made(*number, value) {
            let bytes = made.next().unwrap_or_default();
            let number = *number;
            arguments
                .add(Binary { number, bytes })
                .map_err(|error| error.to_string())
        } else {
            add(&mut arguments, *number, value)
        };
        added.map_err(|problem| unbound(index, &problem))?;
    }
    Ok(arguments)
}

fn unbound(index: usize, problem: &str) -> Failure {
    let message = format!("parameter ${} cannot be bound: {problem}", index + 1);
    Failure::new("SqlError", message).final_()
}

/// True when the server makes the value.
fn is_made(number: u32, value: &Value) -> bool {
    let bound_here = matches!(
        number,
        oid::JSON | oid::JSONB | oid::BOOL | oid::INT2 | oid::INT4 | oid::INT8 | oid::OID
    ) || matches!(number, oid::FLOAT4 | oid::FLOAT8 | oid::BYTEA);
    !value.is_null() && !bound_here && !oid::is_text(number)
}

/// Has the server make values of texts; gives their binary form.
async fn made(
    connection: &mut PgConnection,
    values: &[Value],
    types: &[u32],
    catalog: &Catalog,
) -> Result<Vec<Vec<u8>>, Failure> {
    let mut wanted = Vec::new();
    let mut arguments = PgArguments::default();
    for (index, (value, number)) in values.iter().zip(types).enumerate() {
        if !is_made(*number, value) {
            continue;
        }
        let (name, is_array) = match catalog.get(*number) {
            Some(known) => (known.name.clone(), known.is_array),
            None => match builtin(*number) {
                Some(name) => (name.to_owned(), false),
                None => return Err(unbound(index, "the server does not know its type; cast it")),
            },
        };
        let text = match value {
            Value::Array(items) if is_array => array(items).ok_or_else(|| unbound(index, "it is nested too deeply"))?,
            value if *number == oid::TIMESTAMP => without_zone(&text(value)),
            value => text(value),
        };
        arguments
            .add(text)
            .map_err(|error| unbound(index, &error.to_string()))?;
        wanted.push(format!("${}::pg_catalog.text::{name}", wanted.len() + 1));
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("select {}", wanted.join(", "));
    let row = sqlx::query_with(AssertSqlSafe(sql), arguments)
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(|error| {
            let failure = failure::before(&error);
            Failure {
                message: format!("a parameter cannot be bound: {}", failure.message),
                // The same text is refused again, unless it was the connection that broke.
                non_retryable: matches!(error, sqlx::Error::Database(_)),
                ..failure
            }
        })?;
    let bytes = |index| row.try_get_raw(index).ok()?.as_bytes().ok().map(<[u8]>::to_vec);
    (0..wanted.len())
        .map(|index| bytes(index).ok_or_else(|| unbound(index, "the server makes nothing of it")))
        .collect()
}

/// The names of plain types that the server makes; the catalog was not asked for them.
fn builtin(number: u32) -> Option<&'static str> {
    Some(match number {
        oid::NUMERIC => "pg_catalog.numeric",
        oid::UUID => "pg_catalog.uuid",
        oid::DATE => "pg_catalog.date",
        oid::TIME => "pg_catalog.\"time\"",
        oid::TIMESTAMP => "pg_catalog.\"timestamp\"",
        oid::TIMESTAMPTZ => "pg_catalog.timestamptz",
        _ => return None,
    })
}

/// Adds a value that needs no help.
fn add(arguments: &mut PgArguments, number: u32, value: &Value) -> Result<(), String> {
    let added = match number {
        // JSON takes any value, `null` as the JSON null only inside of one.
        _ if value.is_null() => arguments.add(None::<String>),
        oid::JSON | oid::JSONB => arguments.add(Json(value)),
        oid::BOOL => arguments.add(parsed::<bool>(value, "bool")?),
        oid::INT2 => arguments.add(parsed::<i16>(value, "int2")?),
        oid::INT4 => arguments.add(parsed::<i32>(value, "int4")?),
        oid::INT8 => arguments.add(parsed::<i64>(value, "int8")?),
        oid::OID => arguments.add(sqlx::postgres::types::Oid(parsed(value, "oid")?)),
        oid::FLOAT4 => arguments.add(parsed::<f32>(value, "float4")?),
        oid::FLOAT8 => arguments.add(parsed::<f64>(value, "float8")?),
        oid::BYTEA => arguments.add(
            base64::engine::general_purpose::STANDARD
                .decode(text(value))
                .map_err(|_| "bytes are bound as base64".to_owned())?,
        ),
        _ => arguments.add(text(value)),
    };
    added.map_err(|error| error.to_string())
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn parsed<T: FromStr>(value: &Value, type_name: &str) -> Result<T, String> {
    let text = text(value);
    text.trim().parse().map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        format!("`{shown}` is no {type_name}")
    })
}

/// A time with a zone as one of UTC: for a type without a zone the server would leave the zone unread.
fn without_zone(text: &str) -> String {
    DateTime::parse_from_rfc3339(text).map_or_else(|_| text.to_owned(), |time| time.naive_utc().to_string())
}

/// More dimensions than Postgres's arrays have.
const MOST_DIMENSIONS: usize = 6;

/// A list as Postgres writes an array.
fn array(items: &[Value]) -> Option<String> {
    fn write(items: &[Value], depth: usize) -> Option<String> {
        if depth > MOST_DIMENSIONS {
            return None;
        }
        let items = items.iter().map(|item| match item {
            Value::Null => Some("NULL".to_owned()),
            Value::Array(inner) => write(inner, depth + 1),
            item => Some(format!("\"{}\"", text(item).replace('\\', "\\\\").replace('"', "\\\""))),
        });
        Some(format!("{{{}}}", items.collect::<Option<Vec<_>>>()?.join(",")))
    }
    write(items, 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_written_as_arrays() {
        let written = |value: Value| array(value.as_array().expect("list"));
        assert_eq!(
            written(json!(["a\"b\\", null, 1, true, "", "NULL"])).as_deref(),
            Some("{\"a\\\"b\\\\\",NULL,\"1\",\"true\",\"\",\"NULL\"}")
        );
        assert_eq!(written(json!([[1, 2], []])).as_deref(), Some("{{\"1\",\"2\"},{}}"));
        assert_eq!(written(json!([[[[[[[1]]]]]]])), None);
        assert_eq!(without_zone("2026-01-31T12:00:00+01:00"), "2026-01-31 11:00:00");
        assert_eq!(without_zone("infinity"), "infinity");
    }
}
