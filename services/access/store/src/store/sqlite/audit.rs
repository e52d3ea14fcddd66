//! The audit log.

use std::sync::Arc;

use async_trait::async_trait;
use nexus_storage::outbox::Outbox;
use sqlx::Sqlite;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use crate::store::audit::{AuditLog, Telling, chained, columns, reading};
use crate::store::rows::{database, json};
use crate::store::{Store, StoreError};

reading!(Sqlite, SqliteRow);

#[async_trait]
impl AuditLog for SqliteStore {
    async fn append_audit(&self, entries: &[Entry]) -> Result<u32, StoreError> {
        let mut transaction = self.database.begin().await?;
        let row = sqlx::query("SELECT * FROM audit_ends WHERE id = 1")
            .fetch_one(&mut *transaction)
            .await
            .map_err(database)?;
        let head = ends(&row)?.head;
        let ids: Vec<String> = entries.iter().map(|entry| entry.id.to_string()).collect();
        let known: Vec<String> =
            sqlx::query_scalar("SELECT id FROM audit_entries WHERE id IN (SELECT value FROM json_each($1))")
                .bind(json(&ids)?)
                .fetch_all(&mut *transaction)
                .await
                .map_err(database)?;
        let new = chained(head, entries, &known);
        let Some(last) = new.last() else { return Ok(0) };
        sqlx::query(INSERT)
            .bind(columns(&new).to_string())
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
        sqlx::query("UPDATE audit_ends SET head = $1, head_hash = $2 WHERE id = 1")
            .bind(last.position)
            .bind(last.hash.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
        self.commit_unchanged(transaction).await?;
        Ok(u32::try_from(new.len()).unwrap_or(u32::MAX))
    }

    async fn audit_entries(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<Chained>, StoreError> {
        let rows = listing(filter, limit)
            .build()
            .fetch_all(self.database.reader())
            .await
            .map_err(database)?;
        rows.iter().map(entry).collect()
    }

    async fn audit_ends(&self) -> Result<Ends, StoreError> {
        let row = sqlx::query("SELECT * FROM audit_ends WHERE id = 1")
            .fetch_one(self.database.reader())
            .await
            .map_err(database)?;
        ends(&row)
    }

    async fn forget_audit(&self, before: i64, limit: u32) -> Result<u64, StoreError> {
        let mut transaction = self.database.begin().await?;
        let row = sqlx::query(OLDEST)
            .bind(before)
            .bind(i64::from(limit))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(database)?;
        let Some(row) = row else { return Ok(0) };
        let reach: i64 = row.try_get("position").map_err(database)?;
        sqlx::query("UPDATE audit_ends SET anchor = $1, anchor_hash = $2 WHERE id = 1")
            .bind(reach)
            .bind(row.try_get::<String, _>("hash").map_err(database)?)
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
        let removed = sqlx::query("DELETE FROM audit_entries WHERE position <= $1")
            .bind(reach)
            .execute(&mut *transaction)
            .await
            .map_err(database)?;
        self.commit_unchanged(transaction).await?;
        Ok(removed.rows_affected())
    }
}

/// The last of the oldest entries that may go: none after one that is kept.
const OLDEST: &str = "\
SELECT position, hash FROM (SELECT position, hash, at FROM audit_entries ORDER BY position LIMIT $2) oldest
WHERE position < coalesce((SELECT min(position) FROM (SELECT position, at FROM audit_entries ORDER BY position LIMIT $2) kept
                           WHERE at >= $1), 9223372036854775807)
ORDER BY position DESC LIMIT 1";

const INSERT: &str = "\
INSERT INTO audit_entries (position, id, at, namespace, actor_kind, actor, actor_name, credential, method, permission,
    object_type, object_name, outcome, reason, address, request_id, trace_id, count, previous_hash, hash)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8, value ->> 9, value ->> 10, value ->> 11, value ->> 12, value ->> 13, value ->> 14, value ->> 15,
    value ->> 16, value ->> 17, value ->> 18, value ->> 19
FROM json_each($1)";

impl Telling for SqliteStore {
    fn telling(&self, entry: &Entry) -> Arc<dyn Store> {
        Arc::new(Self {
            note: Some(Arc::new(entry.note())),
            ..self.clone()
        })
    }

    fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.database.clone())
    }
}
