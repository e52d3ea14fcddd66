//! Postgres values as JSON.

use serde_json::Value;
use sqlx::postgres::{PgRow, PgTypeKind};
use sqlx::types::chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use sqlx::types::{BigDecimal, Uuid};
use sqlx::{Column, Row, TypeInfo, ValueRef};

use crate::outcome::Failure;
use crate::sql::{failure, table};

/// A row's values in the order of its columns.
pub(super) fn row(row: &PgRow) -> Result<Vec<Value>, Failure> {
    (0..row.columns().len()).map(|index| cell(row, index)).collect()
}

fn cell(row: &PgRow, index: usize) -> Result<Value, Failure> {
    let wrong = |error: sqlx::Error| failure::statement(&error);
    let raw = row.try_get_raw(index).map_err(wrong)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let info = raw.type_info().into_owned();
    let value = match info.name() {
        "BOOL" => row.try_get(index).map(Value::Bool),
        "INT2" => row.try_get::<i16, _>(index).map(Value::from),
        "INT4" => row.try_get::<i32, _>(index).map(Value::from),
        "INT8" => row.try_get::<i64, _>(index).map(Value::from),
        "OID" => row
            .try_get::<sqlx::postgres::types::Oid, _>(index)
            .map(|oid| Value::from(oid.0)),
        "FLOAT4" => row.try_get::<f32, _>(index).map(|value| table::float(value.into())),
        "FLOAT8" => row.try_get(index).map(table::float),
        "NUMERIC" => row
            .try_get::<BigDecimal, _>(index)
            .map(|value| Value::String(value.normalized().to_plain_string())),
        "TEXT" | "VARCHAR" | "CHAR" | "NAME" | "UNKNOWN" => row.try_get_unchecked(index).map(Value::String),
        "JSON" | "JSONB" => row.try_get(index),
        "UUID" => row
            .try_get::<Uuid, _>(index)
            .map(|value| Value::String(value.to_string())),
        "DATE" => row
            .try_get::<NaiveDate, _>(index)
            .map(|value| Value::String(value.to_string())),
        "TIME" => row
            .try_get::<NaiveTime, _>(index)
            .map(|value| Value::String(value.to_string())),
        "TIMESTAMP" => row.try_get::<NaiveDateTime, _>(index).map(|value| time(value, "")),
        "TIMESTAMPTZ" => row
            .try_get::<DateTime<Utc>, _>(index)
            .map(|value| time(value.naive_utc(), "Z")),
        "BYTEA" => row.try_get::<&[u8], _>(index).map(table::bytes),
        // `select pg_sleep(1)` and calls of procedures.
        "VOID" => Ok(Value::Null),
        "BOOL[]" => row.try_get::<Vec<Option<bool>>, _>(index).map(Value::from_iter),
        "INT2[]" => row.try_get::<Vec<Option<i16>>, _>(index).map(Value::from_iter),
        "INT4[]" => row.try_get::<Vec<Option<i32>>, _>(index).map(Value::from_iter),
        "INT8[]" => row.try_get::<Vec<Option<i64>>, _>(index).map(Value::from_iter),
        "FLOAT8[]" => row.try_get::<Vec<Option<f64>>, _>(index).map(Value::from_iter),
        "TEXT[]" | "VARCHAR[]" => row.try_get::<Vec<Option<String>>, _>(index).map(Value::from_iter),
        "UUID[]" => row
            .try_get::<Vec<Option<Uuid>>, _>(index)
            .map(|items| items.into_iter().map(|item| item.map(|id| id.to_string())).collect()),
        _ if matches!(info.kind(), PgTypeKind::Enum(_)) => row.try_get_unchecked(index).map(Value::String),
        other => {
            let column = row.columns()[index].name();
            let message =
                format!("column {column} has the type {other}, which has no JSON form; select {column}::text");
            return Err(Failure::new("SqlError", message));
        }
    };
    value.map_err(wrong)
}

fn time(value: NaiveDateTime, zone: &str) -> Value {
    Value::String(format!("{}{zone}", value.format("%Y-%m-%dT%H:%M:%S%.f")))
}
