//! Log lines.

use nexus_execution_store::{ExecutionId, LogQuery, LogRow, StoreError};
use nexus_storage::sqlite::Database;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::database;

pub(super) async fn append(store: &Database, lines: &[LogRow]) -> Result<(), StoreError> {
    if lines.is_empty() {
        return Ok(());
    }
    let rows: Vec<Value> = lines
        .iter()
        .map(|line| {
            let id = line.execution.0.simple().to_string();
            json!([id, line.task, line.attempt, line.line, line.at, line.stream, line.text])
        })
        .collect();
    let mut transaction = store.begin().await?;
    sqlx::query(
        "INSERT INTO logs (execution, task, attempt, line, at, stream, text)
         SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
         FROM json_each(?1) WHERE true
         ON CONFLICT (execution, task, attempt, line) DO NOTHING",
    )
    .bind(Value::from(rows).to_string())
    .execute(&mut *transaction)
    .await
    .map_err(database)?;
    transaction.commit().await.map_err(database)
}

pub(super) async fn list(store: &Database, query: LogQuery) -> Result<Vec<LogRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT sequence, task, attempt, line, at, stream, text FROM logs
         WHERE execution = ?1 AND sequence > ?2 AND (?3 IS NULL OR task = ?3) AND (?4 IS NULL OR attempt = ?4)
         ORDER BY sequence LIMIT ?5",
    )
    .bind(query.execution.bytes().to_vec())
    .bind(i64::try_from(query.after).unwrap_or(i64::MAX))
    .bind(query.task)
    .bind(query.attempt)
    .bind(query.limit)
    .fetch_all(store.reader())
    .await
    .map_err(database)?;
    rows.iter()
        .map(|row| line(row, query.execution))
        .collect::<Result<_, _>>()
        .map_err(database)
}

fn line(row: &SqliteRow, execution: ExecutionId) -> Result<LogRow, sqlx::Error> {
    Ok(LogRow {
        sequence: row.try_get::<i64, _>(0)?.cast_unsigned(),
        execution,
        task: row.try_get(1)?,
        attempt: row.try_get(2)?,
        line: row.try_get::<i64, _>(3)?.cast_unsigned(),
        at: row.try_get(4)?,
        stream: row.try_get(5)?,
        text: row.try_get(6)?,
    })
}
