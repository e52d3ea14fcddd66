//! MySQL and MariaDB.

use std::str::FromStr;
use std::time::Duration;

use futures::{Stream, TryStreamExt};
use serde_json::Value;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlQueryResult, MySqlRow};
use sqlx::{
    Arguments, AssertSqlSafe, Column, ConnectOptions, Connection, Either, Executor, Row, SqlSafeStr, Statement as _,
};

use super::answer::{Answer, close};
use super::failure;
use super::statement::Statement;
use super::table::Table;
use nexus_attempt::{Failure, RunContext};

mod cell;

/// The number of the error for a statement that cannot be prepared.
const NOT_PREPARED: u16 = 1295;
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

pub(super) async fn run(address: &str, statement: Statement, table: Table, ctx: &RunContext) -> Result<Table, Failure> {
    let options = MySqlConnectOptions::from_str(address)
        .map_err(|error| failure::connect(&error))?
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| failure::connect(&error))?;
    let id: u64 = sqlx::query_scalar("SELECT CONNECTION_ID()")
        .fetch_one(&mut connection)
        .await
        .map_err(|error| failure::before(&error))?;
    let mut kill = KillOnDrop {
        options: Some(options),
        id,
    };
    let answer = Answer::new(table, statement.reads);
    ctx.gate.pass().await;
    let table = execute(&mut connection, statement, answer).await?;
    kill.options = None;
    close(connection.close()).await;
    Ok(table)
}

async fn execute(connection: &mut MySqlConnection, statement: Statement, answer: Answer) -> Result<Table, Failure> {
    let sql = AssertSqlSafe(statement.sql).into_sql_str();
    let prepared = match (&mut *connection).prepare(sql.clone()).await {
        Ok(prepared) => prepared,
        // Some statements run only as text, and have no parameters then.
        Err(error) if statement.values.is_empty() && number_of(&error) == Some(NOT_PREPARED) => {
            return take(sqlx::raw_sql(sql).fetch_many(connection), cell::Format::Text, answer).await;
        }
        Err(error) => return Err(failure::before(&error)),
    };
    let mut answer = answer;
    // Known now for an answer without rows; those of RETURNING and CALL come with their rows.
    answer.table.name_columns(prepared.columns().iter().map(Column::name));
    let mut arguments = MySqlArguments::default();
    for value in &statement.values {
        add(&mut arguments, value).map_err(|error| Failure::new("SqlError", error.to_string()))?;
    }
    let results = connection.fetch_many(prepared.query_with(arguments));
    take(results, cell::Format::Binary, answer).await
}

fn number_of(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    Some(error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?.number())
}

/// Takes the answer in. A procedure gives several results: the last one that has rows counts.
async fn take(
    mut results: impl Stream<Item = Result<Either<MySqlQueryResult, MySqlRow>, sqlx::Error>> + Unpin,
    format: cell::Format,
    mut answer: Answer,
) -> Result<Table, Failure> {
    let mut between = true;
    while let Some(step) = results.try_next().await.map_err(|error| answer.broke(&error))? {
        match step {
            Either::Left(done) => {
                answer.table.affect(done.rows_affected());
                between = true;
            }
            Either::Right(row) => {
                if std::mem::take(&mut between) {
                    answer.begin_again();
                    answer.table.name_columns(row.columns().iter().map(Column::name));
                }
                answer.row(|| cell::row(&row, format))?;
            }
        }
    }
    answer.done()
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
