//! Postgres. The server infers the type of every parameter; the value is converted to it here.

use std::str::FromStr;
use std::time::Duration;

use futures::TryStreamExt;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgTypeInfo};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Connection, Either, Executor, SqlSafeStr, Statement as _, TypeInfo};

use super::failure;
use super::statement::Statement;
use super::table::Table;
use crate::outcome::Failure;

mod bind;
mod cell;

const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// Cancels the statement on the server when the attempt is dropped: a server reads a closed connection too late.
struct CancelOnDrop {
    options: Option<PgConnectOptions>,
    pid: i32,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let (Some(options), Ok(runtime)) = (self.options.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        let pid = self.pid;
        runtime.spawn(tokio::time::timeout(CANCEL_LIMIT, async move {
            let mut connection = options.connect().await?;
            sqlx::query("select pg_cancel_backend($1)")
                .bind(pid)
                .execute(&mut connection)
                .await?;
            connection.close().await
        }));
    }
}

pub(super) async fn run(
    address: &str,
    statement: Statement,
    mut table: Table,
    limit: Duration,
) -> Result<Table, Failure> {
    let options = PgConnectOptions::from_str(address)
        .map_err(|error| failure::connect(&error))?
        .application_name("nexus")
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| failure::connect(&error))?;
    let wrong = |error: sqlx::Error| failure::statement(&error);
    let pid = session(&mut connection, limit).await.map_err(wrong)?;
    let mut cancel = CancelOnDrop {
        options: Some(options),
        pid,
    };
    let prepared = (&mut connection)
        .prepare(AssertSqlSafe(statement.sql).into_sql_str())
        .await
        .map_err(wrong)?;
    table.name_columns(prepared.columns().iter().map(Column::name));
    let types: Vec<PgTypeInfo> = match prepared.parameters() {
        Some(Either::Left(types)) => types.to_vec(),
        _ => Vec::new(),
    };
    let mut arguments = PgArguments::default();
    for (number, (value, inferred)) in statement.values.iter().zip(&types).enumerate() {
        bind::add(&mut arguments, inferred.name(), value).map_err(|problem| {
            Failure::new(
                "SqlError",
                format!("parameter ${} cannot be bound: {problem}", number + 1),
            )
        })?;
    }
    let mut results = (&mut connection).fetch_many(prepared.query_with(arguments));
    while let Some(step) = results.try_next().await.map_err(wrong)? {
        match step {
            Either::Left(done) => table.affect(done.rows_affected()),
            Either::Right(row) => table.push(cell::row(&row)?)?,
        }
    }
    drop(results);
    cancel.options = None;
    connection.close().await.map_err(wrong)?;
    Ok(table)
}

/// Bounds the statement on the server's side too, and learns the name of the server's process.
async fn session(connection: &mut PgConnection, limit: Duration) -> Result<i32, sqlx::Error> {
    // A little longer than the worker's own limit, which gives the better message.
    let millis = (limit.as_millis() + 1_000).min(i32::MAX as u128);
    sqlx::raw_sql(AssertSqlSafe(format!("set statement_timeout = {millis}")))
        .execute(&mut *connection)
        .await?;
    sqlx::query_scalar("select pg_backend_pid()")
        .fetch_one(connection)
        .await
}
