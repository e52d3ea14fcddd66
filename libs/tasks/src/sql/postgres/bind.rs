//! JSON values as Postgres parameters.

use std::str::FromStr;

use base64::Engine;
use serde_json::Value;
use sqlx::Arguments;
use sqlx::postgres::PgArguments;
use sqlx::types::chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use sqlx::types::{BigDecimal, Json, Uuid};

/// Adds a value as the type that the server inferred.
pub(super) fn add(arguments: &mut PgArguments, type_name: &str, value: &Value) -> Result<(), String> {
    let added = match type_name {
        // JSON takes any value, `null` as the JSON null only inside of one.
        "JSON" | "JSONB" if !value.is_null() => arguments.add(Json(value)),
        _ if value.is_null() => arguments.add(None::<String>),
        "BOOL" => arguments.add(boolean(value)?),
        "INT2" => arguments.add(parsed::<i16>(value, type_name)?),
        "INT4" => arguments.add(parsed::<i32>(value, type_name)?),
        "INT8" => arguments.add(parsed::<i64>(value, type_name)?),
        "OID" => arguments.add(sqlx::postgres::types::Oid(parsed(value, type_name)?)),
        "FLOAT4" => arguments.add(parsed::<f32>(value, type_name)?),
        "FLOAT8" => arguments.add(parsed::<f64>(value, type_name)?),
        "NUMERIC" => arguments.add(parsed::<BigDecimal>(value, type_name)?),
        "UUID" => arguments.add(parsed::<Uuid>(value, type_name)?),
        "DATE" => arguments.add(parsed::<NaiveDate>(value, type_name)?),
        "TIME" => arguments.add(parsed::<NaiveTime>(value, type_name)?),
        "TIMESTAMP" => arguments.add(timestamp(value)?),
        "TIMESTAMPTZ" => arguments.add(instant(value)?),
        "BYTEA" => arguments.add(
            base64::engine::general_purpose::STANDARD
                .decode(text(value))
                .map_err(|_| "bytes are bound as base64".to_owned())?,
        ),
        "TEXT[]" | "VARCHAR[]" => arguments.add(list(value, |item| Ok(text(item)))?),
        "BOOL[]" => arguments.add(list(value, boolean)?),
        "INT2[]" => arguments.add(list(value, |item| parsed::<i16>(item, "INT2"))?),
        "INT4[]" => arguments.add(list(value, |item| parsed::<i32>(item, "INT4"))?),
        "INT8[]" => arguments.add(list(value, |item| parsed::<i64>(item, "INT8"))?),
        "FLOAT8[]" => arguments.add(list(value, |item| parsed::<f64>(item, "FLOAT8"))?),
        "NUMERIC[]" => arguments.add(list(value, |item| parsed::<BigDecimal>(item, "NUMERIC"))?),
        "UUID[]" => arguments.add(list(value, |item| parsed::<Uuid>(item, "UUID"))?),
        // Text and whatever has the form of text on the wire, such as enums.
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" | "CITEXT" => arguments.add(text(value)),
        other if other.chars().any(char::is_lowercase) => arguments.add(text(value)),
        other => {
            return Err(format!(
                "the type {other} is not supported; cast the parameter, such as `:name::text::{}`",
                other.to_lowercase()
            ));
        }
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
        format!("`{shown}` is no {}", type_name.to_lowercase())
    })
}

fn boolean(value: &Value) -> Result<bool, String> {
    parsed(value, "BOOL")
}

fn instant(value: &Value) -> Result<DateTime<Utc>, String> {
    let text = text(value);
    DateTime::parse_from_rfc3339(&text)
        .map(|time| time.with_timezone(&Utc))
        .or_else(|_| timestamp(value).map(|time| time.and_utc()))
        .map_err(|_| format!("`{text}` is no time such as 2026-01-31T12:00:00Z"))
}

fn timestamp(value: &Value) -> Result<NaiveDateTime, String> {
    let text = text(value);
    let plain = text.replacen(' ', "T", 1);
    if let Ok(time) = NaiveDateTime::from_str(&plain) {
        return Ok(time);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(&text) {
        return Ok(time.naive_utc());
    }
    NaiveDate::from_str(&text)
        .ok()
        .and_then(|date| date.and_hms_opt(0, 0, 0))
        .ok_or_else(|| format!("`{text}` is no time such as 2026-01-31T12:00:00"))
}

fn list<T>(value: &Value, item: impl Fn(&Value) -> Result<T, String>) -> Result<Vec<Option<T>>, String> {
    let items = value.as_array().ok_or("a list is needed for an array")?;
    items
        .iter()
        .map(|value| {
            if value.is_null() {
                Ok(None)
            } else {
                item(value).map(Some)
            }
        })
        .collect()
}
