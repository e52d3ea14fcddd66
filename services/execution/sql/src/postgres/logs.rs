//! Log lines.

use std::collections::BTreeSet;

use nexus_execution_store::{LogQuery, LogRow, StoreError};
use nexus_storage::postgres::Database;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::columns::{big, natural};
use super::database;

pub(super) async fn append(store: &Database, lines: &[LogRow]) -> Result<(), StoreError> {
    if lines.is_empty() {
        return Ok(());
    }
    let executions: BTreeSet<Uuid> = lines.iter().map(|line| line.execution.0).collect();
    let mut transaction = store.begin().await?;
    // Who appends to an execution does so alone: numbers become visible in their order. And a line may be lost with a
    // power cut, a state never.
    sqlx::query(
        "SELECT set_config('synchronous_commit', 'off', true),
                pg_advisory_xact_lock(hashtextextended(id::text, 0))
         FROM (SELECT id FROM unnest($1::uuid[]) AS id ORDER BY id) AS ordered",
    )
    .bind(executions.into_iter().collect::<Vec<_>>())
    .execute(&mut *transaction)
    .await
    .map_err(database)?;
    sqlx::query(
        "INSERT INTO logs (execution, task, attempt, line, at, stream, text)
         SELECT * FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[], $6::smallint[],
                              $7::text[])
         ON CONFLICT (execution, task, attempt, line) DO NOTHING",
    )
    .bind(lines.iter().map(|line| line.execution.0).collect::<Vec<_>>())
    .bind(column(lines, |line| i32::try_from(line.task).unwrap_or(i32::MAX)))
    .bind(column(lines, |line| i32::try_from(line.attempt).unwrap_or(i32::MAX)))
    .bind(column(lines, |line| big(line.line)))
    .bind(column(lines, |line| line.at))
    .bind(column(lines, |line| i16::try_from(line.stream).unwrap_or_default()))
    .bind(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>())
    .execute(&mut *transaction)
    .await
    .map_err(database)?;
    transaction.commit().await.map_err(database)
}

fn column<T>(lines: &[LogRow], value: impl Fn(&LogRow) -> T) -> Vec<T> {
    lines.iter().map(value).collect()
}

pub(super) async fn list(store: &Database, query: LogQuery) -> Result<Vec<LogRow>, StoreError> {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let rows = sqlx::query(
        "SELECT sequence, task, attempt, line, at, stream, text FROM logs
         WHERE execution = $1 AND sequence > $2 AND ($3::integer IS NULL OR task = $3)
           AND ($4::integer IS NULL OR attempt = $4)
         ORDER BY sequence LIMIT $5",
    )
    .bind(query.execution.0)
    .bind(big(query.after))
    .bind(query.task.map(number))
    .bind(query.attempt.map(number))
    .bind(i64::from(query.limit))
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    rows.iter().map(|row| line(row, query)).collect()
}

fn line(row: &PgRow, query: LogQuery) -> Result<LogRow, StoreError> {
    Ok(LogRow {
        sequence: row.try_get::<i64, _>(0).map_err(database)?.cast_unsigned(),
        execution: query.execution,
        task: natural(row.try_get(1).map_err(database)?)?,
        attempt: natural(row.try_get(2).map_err(database)?)?,
        line: row.try_get::<i64, _>(3).map_err(database)?.cast_unsigned(),
        at: row.try_get(4).map_err(database)?,
        stream: i32::from(row.try_get::<i16, _>(5).map_err(database)?),
        text: row.try_get(6).map_err(database)?,
    })
}
