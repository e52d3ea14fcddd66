//! SQLite. A file is created only with `?mode=rwc`.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::TryStreamExt;
use serde_json::Value;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteRow};
use sqlx::{
    Arguments, AssertSqlSafe, Column, ConnectOptions, Connection, Either, Executor, Row, SqlSafeStr, Statement as _,
    TypeInfo, ValueRef,
};

use super::failure;
use super::statement::Statement;
use super::table::{self, Table};
use crate::outcome::Failure;

/// How many steps of SQLite's machine pass between two looks at the stop flag.
const STEPS: i32 = 10_000;

/// Stops the statement when the attempt is dropped: SQLite runs on a thread that would not notice.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(super) async fn run(address: &str, statement: Statement, mut table: Table) -> Result<Table, Failure> {
    let options = SqliteConnectOptions::from_str(address)
        .map_err(|error| failure::connect(&error))?
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| failure::connect(&error))?;
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&stop.0);
    let wrong = |error: sqlx::Error| failure::statement(&error);
    let mut handle = connection.lock_handle().await.map_err(wrong)?;
    handle.set_progress_handler(STEPS, move || !flag.load(Ordering::Relaxed));
    drop(handle);

    let prepared = (&mut connection)
        .prepare(AssertSqlSafe(statement.sql).into_sql_str())
        .await
        .map_err(wrong)?;
    table.name_columns(prepared.columns().iter().map(Column::name));
    let mut arguments = SqliteArguments::default();
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
    connection.close().await.map_err(wrong)?;
    Ok(table)
}

fn add(arguments: &mut SqliteArguments, value: &Value) -> Result<(), sqlx::error::BoxDynError> {
    match value {
        Value::Null => arguments.add(None::<i64>),
        Value::Bool(value) => arguments.add(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => arguments.add(value),
            (None, Some(value)) if number.is_f64() => arguments.add(value),
            // Larger than SQLite's integers: text keeps the digits.
            _ => arguments.add(number.to_string()),
        },
        Value::String(text) => arguments.add(text.clone()),
        other => arguments.add(other.to_string()),
    }
}

fn decode(row: &SqliteRow) -> Result<Vec<Value>, sqlx::Error> {
    let mut values = Vec::with_capacity(row.columns().len());
    for (index, column) in row.columns().iter().enumerate() {
        let raw = row.try_get_raw(index)?;
        if raw.is_null() {
            values.push(Value::Null);
            continue;
        }
        let actual = raw.type_info().name().to_owned();
        let value = match (actual.as_str(), column.type_info().name()) {
            (_, "BOOLEAN") if actual == "INTEGER" || actual == "BOOLEAN" => {
                Value::Bool(row.try_get_unchecked::<i64, _>(index)? != 0)
            }
            ("INTEGER" | "BOOLEAN", _) => Value::from(row.try_get_unchecked::<i64, _>(index)?),
            ("REAL", _) => table::float(row.try_get_unchecked::<f64, _>(index)?),
            ("BLOB", _) => table::bytes(row.try_get_unchecked::<&[u8], _>(index)?),
            _ => Value::String(String::from_utf8_lossy(row.try_get_unchecked::<&[u8], _>(index)?).into_owned()),
        };
        values.push(value);
    }
    Ok(values)
}
