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

use super::answer::{Answer, close};
use super::failure;
use super::statement::Statement;
use super::table::{Cell, Table};
use nexus_attempt::{Failure, RunContext};

/// How many steps of SQLite's machine pass between two looks at the stop flag.
const STEPS: i32 = 10_000;

/// Stops the statement when the attempt is dropped: SQLite runs on a thread that would not notice.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(super) async fn run(
    address: &str,
    statement: Statement,
    mut table: Table,
    ctx: &RunContext,
) -> Result<Table, Failure> {
    let options = SqliteConnectOptions::from_str(address)
        .map_err(|error| failure::connect(&error))?
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| failure::connect(&error))?;
    let stop = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&stop.0);
    let early = |error: sqlx::Error| failure::before(&error);
    let mut handle = connection.lock_handle().await.map_err(early)?;
    handle.set_progress_handler(STEPS, move || !flag.load(Ordering::Relaxed));
    drop(handle);

    let prepared = (&mut connection)
        .prepare(AssertSqlSafe(statement.sql).into_sql_str())
        .await
        .map_err(early)?;
    table.name_columns(prepared.columns().iter().map(Column::name));
    let mut arguments = SqliteArguments::default();
    for value in &statement.values {
        add(&mut arguments, value).map_err(|error| Failure::new("SqlError", error.to_string()))?;
    }
    ctx.gate.pass().await;
    let mut results = (&mut connection).fetch_many(prepared.query_with(arguments));
    let mut answer = Answer::new(table, statement.reads);
    while let Some(step) = results.try_next().await.map_err(|error| answer.broke(&error))? {
        match step {
            Either::Left(done) => answer.table.affect(done.rows_affected()),
            Either::Right(row) => {
                answer.row(|| decode(&row).map_err(|error| Failure::new("SqlError", error.to_string())))?;
            }
        }
    }
    drop(results);
    close(connection.close()).await;
    answer.done()
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

fn decode(row: &SqliteRow) -> Result<Vec<Cell>, sqlx::Error> {
    let mut cells = Vec::with_capacity(row.columns().len());
    for (index, column) in row.columns().iter().enumerate() {
        let raw = row.try_get_raw(index)?;
        if raw.is_null() {
            cells.push(Cell::NULL);
            continue;
        }
        let actual = raw.type_info().name().to_owned();
        let cell = match (actual.as_str(), column.type_info().name()) {
            (_, "BOOLEAN") if actual == "INTEGER" || actual == "BOOLEAN" => {
                match row.try_get_unchecked::<i64, _>(index)? {
                    // SQLite knows no booleans, and a column that says so holds any number.
                    value @ (0 | 1) => (value == 1).into(),
                    other => other.into(),
                }
            }
            ("INTEGER" | "BOOLEAN", _) => row.try_get_unchecked::<i64, _>(index)?.into(),
            ("REAL", _) => Cell::float(row.try_get_unchecked::<f64, _>(index)?),
            ("BLOB", _) => Cell::bytes(row.try_get_unchecked::<&[u8], _>(index)?),
            _ => Cell::text_or_bytes(row.try_get_unchecked::<&[u8], _>(index)?),
        };
        cells.push(cell);
    }
    Ok(cells)
}
