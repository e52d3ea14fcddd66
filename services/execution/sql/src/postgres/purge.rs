//! Removing executions that are kept long enough.

use nexus_execution_store::StoreError;
use nexus_storage::postgres::Database;
use sqlx::Row;

use super::database;

/// One statement: everything of an execution goes at once. Rows that another replica removes at the same moment are left
/// to it.
const PURGE: &str = "
    WITH old AS MATERIALIZED (
        SELECT id FROM executions WHERE finished_at IS NOT NULL AND finished_at < $1
        ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
    ), asked AS (DELETE FROM requests WHERE execution IN (SELECT id FROM old)),
    happened AS (DELETE FROM history WHERE execution IN (SELECT id FROM old)),
    given_out AS (DELETE FROM outputs WHERE execution IN (SELECT id FROM old)),
    done AS (DELETE FROM tasks WHERE execution IN (SELECT id FROM old)),
    given AS (DELETE FROM params WHERE execution IN (SELECT id FROM old)),
    said AS (DELETE FROM logs WHERE execution IN (SELECT id FROM old)),
    gone AS (DELETE FROM executions WHERE id IN (SELECT id FROM old) RETURNING id)
    SELECT count(*) FROM gone";

pub(super) async fn purge(store: &Database, finished_before: i64, limit: u32) -> Result<u64, StoreError> {
    let row = sqlx::query(PURGE)
        .bind(finished_before)
        .bind(i64::from(limit))
        .fetch_one(store.writer())
        .await
        .map_err(database)?;
    let gone: i64 = row.try_get(0).map_err(database)?;
    Ok(gone.cast_unsigned())
}
