//! Removing executions that are kept long enough.

use nexus_execution_store::StoreError;
use nexus_storage::sqlite::Database;
use serde_json::json;
use sqlx::Row;

use super::database;

/// Their logs first, in their own file: a crash in between leaves executions without logs, which the next round removes.
pub(super) async fn purge(
    executions: &Database,
    logs: &Database,
    finished_before: i64,
    limit: u32,
) -> Result<u64, StoreError> {
    let rows = sqlx::query(
        "SELECT hex(id) FROM executions WHERE finished_at IS NOT NULL AND finished_at < ?1 ORDER BY id LIMIT ?2",
    )
    .bind(finished_before)
    .bind(limit)
    .fetch_all(executions.reader())
    .await
    .map_err(database)?;
    if rows.is_empty() {
        return Ok(0);
    }
    let ids: Result<Vec<String>, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    let ids = json!(ids.map_err(database)?).to_string();
    let mut transaction = logs.begin().await?;
    sqlx::query("DELETE FROM logs WHERE execution IN (SELECT unhex(value) FROM json_each(?1))")
        .bind(&ids)
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
    transaction.commit().await.map_err(database)?;
    let mut transaction = executions.begin().await?;
    sqlx::query(
        "DELETE FROM requests WHERE execution IN (SELECT unhex(value) FROM json_each($1));
         DELETE FROM history WHERE execution IN (SELECT unhex(value) FROM json_each($1));
         DELETE FROM outputs WHERE execution IN (SELECT unhex(value) FROM json_each($1));
         DELETE FROM tasks WHERE execution IN (SELECT unhex(value) FROM json_each($1));
         DELETE FROM params WHERE execution IN (SELECT unhex(value) FROM json_each($1));
         DELETE FROM executions WHERE id IN (SELECT unhex(value) FROM json_each($1));",
    )
    .bind(&ids)
    .execute(&mut *transaction)
    .await
    .map_err(database)?;
    transaction.commit().await.map_err(database)?;
    Ok(rows.len() as u64)
}
