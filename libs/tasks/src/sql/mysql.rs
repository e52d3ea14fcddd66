//! MySQL and MariaDB.

use std::str::FromStr;
use std::time::Duration;

use futures::TryStreamExt;
use serde_json::Value;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlRow};
use sqlx::types::BigDecimal;
use sqlx::types::chrono::{NaiveDate, NaiveDateTime};
use sqlx::{
    Arguments, AssertSqlSafe, Column, ConnectOptions, Connection, Either, Executor, Row, SqlSafeStr, Statement as _,
    TypeInfo, ValueRef,
};

use super::failure;
use super::statement::Statement;
use super::table::{self, Table};
use crate::outcome::Failure;

const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// Kills the statement on the server when the attempt is dropped: a server reads a closed connection too late.
struct KillOnDrop {
    options: Option<MySqlConnectOptions>,
    id: u64,
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let (Some(options), Ok(runtime)) = (self.options.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let kill = format!("KILL QUERY {}", self.id);
        runtime.spawn(tokio::time::timeout(CANCEL_LIMIT, async move {
            let mut connection = options.connect().await?;
            sqlx::raw_sql(AssertSqlSafe(kill)).execute(&mut connection).await?;
            connection.close().await
        }));
    }
}

pub(super) async fn run(address: &str, statement: Statement, mut table: Table) -> Result<Table, Failure> {
    let options = MySqlConnectOptions::from_str(address)
        .map_err(|error| failure::connect(&error))?
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| failure::connect(&error))?;
    let wrong = |error: sqlx::Error| failure::statement(&error);
    let id: u64 = sqlx::query_scalar("SELECT CONNECTION_ID()")
        .fetch_one(&mut connection)
        .await
        .map_err(wrong)?;
    let mut kill = KillOnDrop {
        options: Some(options),
        id,
    };
    let prepared = (&mut connection)
        .prepare(AssertSqlSafe(statement.sql).into_sql_str())
        .await
        .map_err(wrong)?;
    table.name_columns(prepared.columns().iter().map(Column::name));
    let mut arguments = MySqlArguments::default();
    for value in &statement.values {
        add(&mut arguments, value).map_err(|error| Failure::new("SqlError", error.to_string()))?;
    }
    let mut results = (&mut connection).fetch_many(prepared.query_with(arguments));
    while let Some(step) = results.try_next().await.map_err(wrong)? {
        match step {
            Either::Left(done) => table.affect(done.rows_affected()),
            Either::Right(row) => table.push(decode(&row).map_err(wrong)?)?,
        }
    }
    drop(results);
    kill.options = None;
    connection.close().await.map_err(wrong)?;
    Ok(table)
}

fn add(arguments: &mut MySqlArguments, value: &Value) -> Result<(), sqlx::error::BoxDynError> {
    match value {
        Value::Null => arguments.add(None::<String>),
        Value::Bool(value) => arguments.add(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), _, _) => arguments.add(value),
            (None, Some(value), _) => arguments.add(value),
            (None, None, Some(value)) => arguments.add(value),
            _ => arguments.add(number.to_string()),
        },
        Value::String(text) => arguments.add(text.clone()),
        other => arguments.add(other.to_string()),
    }
}

fn decode(row: &MySqlRow) -> Result<Vec<Value>, sqlx::Error> {
    (0..row.columns().len()).map(|index| cell(row, index)).collect()
}

fn cell(row: &MySqlRow, index: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(index)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let name = raw.type_info().name().to_owned();
    Ok(match name.as_str() {
        "BOOLEAN" => Value::Bool(row.try_get(index)?),
        "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => Value::from(row.try_get_unchecked::<i64, _>(index)?),
        "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED" | "BIGINT UNSIGNED"
        | "YEAR" | "BIT" => Value::from(row.try_get_unchecked::<u64, _>(index)?),
        "FLOAT" => table::float(row.try_get_unchecked::<f32, _>(index)?.into()),
        "DOUBLE" => table::float(row.try_get(index)?),
        "DECIMAL" => Value::String(row.try_get::<BigDecimal, _>(index)?.normalized().to_plain_string()),
        "DATE" => Value::String(row.try_get::<NaiveDate, _>(index)?.to_string()),
        "DATETIME" => Value::String(
            row.try_get::<NaiveDateTime, _>(index)?
                .format("%Y-%m-%dT%H:%M:%S%.f")
                .to_string(),
        ),
        // The server gives timestamps in the session's zone, which the driver sets to UTC.
        "TIMESTAMP" => {
            let time = row.try_get_unchecked::<NaiveDateTime, _>(index)?;
            Value::String(time.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string())
        }
        "TIME" => Value::String(row.try_get::<sqlx::mysql::types::MySqlTime, _>(index)?.to_string()),
        "JSON" => row.try_get(index)?,
        "BINARY" | "VARBINARY" | "BLOB" | "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB" | "GEOMETRY" => {
            table::bytes(row.try_get_unchecked::<&[u8], _>(index)?)
        }
        _ => Value::String(String::from_utf8_lossy(row.try_get_unchecked::<&[u8], _>(index)?).into_owned()),
    })
}
