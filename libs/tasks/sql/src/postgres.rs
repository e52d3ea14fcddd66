//! Postgres. The server infers the type of every parameter; the value is converted to it before the statement runs.
//! The types of the answer are looked at before it runs too: one that cannot be read is refused then.

use std::str::FromStr;
use std::time::Duration;

use futures::TryStreamExt;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgStatement};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Connection, Either, Executor, SqlSafeStr, Statement as _};

use super::answer::{Answer, close};
use super::failure;
use super::statement::Statement;
use super::table::Table;
use catalog::{Catalog, oid};
use cell::{Draft, Reader};
use nexus_attempt::{Failure, RunContext};

mod bind;
mod catalog;
mod cell;
mod text;

/// How much larger than its text the binary form of a value that the server is asked about may be.
const BINARY_FACTOR: usize = 4;

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
    ctx: &RunContext,
) -> Result<Table, Failure> {
    let options = PgConnectOptions::from_str(address)
        .map_err(|error| failure::connect(&error))?
        .application_name("nexus")
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| failure::connect(&error))?;
    let early = |error: sqlx::Error| failure::before(&error);
    let pid = session(&mut connection, ctx.timeout).await.map_err(early)?;
    let mut cancel = CancelOnDrop {
        options: Some(options),
        pid,
    };
    let prepared = (&mut connection)
        .prepare(AssertSqlSafe(statement.sql).into_sql_str())
        .await
        .map_err(|error| unprepared(&error))?;
    table.name_columns(prepared.columns().iter().map(Column::name));
    let parameters = parameters(&prepared);
    let catalog = check(&mut connection, &prepared, &parameters).await?;
    let arguments = bind::arguments(&mut connection, &statement.values, &parameters, &catalog).await?;
    let answer = Answer::new(table, statement.reads);
    ctx.gate.pass().await;
    let table = execute(&mut connection, prepared, arguments, &catalog, answer).await?;
    cancel.options = None;
    close(connection.close()).await;
    Ok(table)
}

/// The failure for a statement that cannot be prepared. The driver looks the types up that it uses, and does not know
/// every kind of them: multiranges among others.
fn unprepared(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::TypeNotFound { .. } => {
            let message = format!(
                "the statement uses a type that cannot be read, such as a multirange; write the column or parameter with \
                 ::text; nothing has run ({error})"
            );
            Failure::new("SqlError", message).final_()
        }
        other => failure::before(other),
    }
}

fn parameters(prepared: &PgStatement) -> Vec<u32> {
    match prepared.parameters() {
        Some(Either::Left(types)) => types.iter().map(|known| known.oid().map_or(0, |oid| oid.0)).collect(),
        _ => Vec::new(),
    }
}

/// Learns of the types that are used, and refuses a statement whose answer could not be read.
async fn check(connection: &mut PgConnection, prepared: &PgStatement, parameters: &[u32]) -> Result<Catalog, Failure> {
    let columns = prepared
        .columns()
        .iter()
        .map(|column| (column.name(), column.type_info().oid().map_or(0, |oid| oid.0)));
    let used = columns
        .clone()
        .map(|(_, number)| number)
        .chain(parameters.iter().copied());
    let catalog = Catalog::of(connection, used.filter(|number| !oid::is_plain(*number)).collect())
        .await
        .map_err(|error| failure::before(&error))?;
    for (column, number) in columns.filter(|(_, number)| !oid::is_plain(*number)) {
        let shown = match catalog.get(number) {
            Some(known) if known.travels => continue,
            Some(known) => known.shown.clone(),
            None => format!("number {number}"),
        };
        let message = format!(
            "column {column} has the type {shown}, which the server cannot send; write {column}::text; nothing has run"
        );
        return Err(Failure::new("SqlError", message).final_());
    }
    Ok(catalog)
}

/// Runs the statement and takes its answer in.
async fn execute(
    connection: &mut PgConnection,
    prepared: PgStatement,
    arguments: PgArguments,
    catalog: &Catalog,
    mut answer: Answer,
) -> Result<Table, Failure> {
    let mut reader = Reader {
        catalog,
        asked: Vec::new(),
        bytes: 0,
    };
    let mut drafts: Vec<Vec<Draft>> = Vec::new();
    let mut results = (&mut *connection).fetch_many(prepared.query_with(arguments));
    while let Some(step) = results.try_next().await.map_err(|error| answer.broke(&error))? {
        let row = match step {
            Either::Left(done) => {
                answer.table.affect(done.rows_affected());
                continue;
            }
            Either::Right(_) if answer.failed() => continue,
            Either::Right(row) => row,
        };
        match answer.table.check_rows(drafts.len()).and_then(|()| reader.row(&row)) {
            // Rows of plain values are bounded as they come; those that wait for texts, and all after them, are held.
            Ok(row) if reader.asked.is_empty() => {
                answer.row(|| Ok(row.into_iter().map(|draft| draft.finish(&[])).collect()))?;
            }
            Ok(_) if reader.bytes / BINARY_FACTOR > answer.table.max_bytes() => {
                let failure = answer.table.too_large();
                answer.note(failure)?;
            }
            Ok(row) => drafts.push(row),
            Err(failure) => answer.note(failure)?,
        }
    }
    drop(results);
    if !answer.failed() && !drafts.is_empty() {
        let texts = catalog::texts(connection, reader.asked).await.map_err(|error| {
            let message = format!("the values of the answer cannot be read as text: {error}");
            answer.unread(Failure::new("SqlError", message))
        })?;
        for row in drafts {
            answer.row(|| Ok(row.into_iter().map(|draft| draft.finish(&texts)).collect()))?;
        }
    }
    answer.done()
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
