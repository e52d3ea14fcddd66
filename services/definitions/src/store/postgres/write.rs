//! What one write puts into the tables.

use nexus_service::idempotency::RequestKey;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::database;
use crate::store::{NewRevision, StoreError, Write};

/// Writes the workflow's row if it still has this version (0: if there is none); nothing when it has another.
pub(super) async fn put_workflow(
    connection: &mut PgConnection,
    write: &Write,
    name: &str,
    latest: i64,
    version: i64,
    fresh: bool,
) -> Result<Option<PgRow>, StoreError> {
    sqlx::query(
        "INSERT INTO workflows AS w
             (name, description, labels, latest_revision, task_count, created_at, updated_at, version, namespace)
         VALUES ($1, $2, $3::text::jsonb, $4, coalesce($5, 0), $6, $6, $7 + 1, $9)
         ON CONFLICT (name) DO UPDATE SET
             description = excluded.description, labels = excluded.labels,
             latest_revision = excluded.latest_revision, task_count = coalesce($5, w.task_count),
             created_at = CASE WHEN $8 THEN excluded.created_at ELSE w.created_at END,
             updated_at = excluded.updated_at, version = excluded.version, deleted_at = NULL
         WHERE w.version = $7
         RETURNING name, description, labels::text AS labels, latest_revision, task_count, created_at, updated_at,
             version",
    )
    .bind(name)
    .bind(&write.description)
    .bind(serde_json::to_string(&write.labels).unwrap_or_default())
    .bind(latest)
    .bind(write.revision.as_ref().map(|revision| i64::from(revision.task_count)))
    .bind(write.at)
    .bind(version)
    .bind(fresh)
    .bind(write.namespace.as_str())
    .fetch_optional(connection)
    .await
    .map_err(database)
}

/// Writes a revision, which is never changed.
pub(super) async fn put_revision(
    connection: &mut PgConnection,
    write: &Write,
    name: &str,
    revision: &NewRevision,
    number: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO revisions (workflow, number, digest, source, document, message, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(name)
    .bind(number)
    .bind(&revision.digest)
    .bind(&revision.source)
    .bind(&revision.document)
    .bind(&revision.message)
    .bind(write.at)
    .execute(connection)
    .await
    .map_err(database)
    .map(drop)
}

/// Remembers the request; false when another with its id was faster.
pub(super) async fn put_request(connection: &mut PgConnection, write: &Write, name: &str) -> Result<bool, StoreError> {
    let Some(RequestKey { key, fingerprint }) = &write.request else {
        return Ok(true);
    };
    let result = sqlx::query(
        "INSERT INTO requests (id, fingerprint, workflow, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(key)
    .bind(fingerprint)
    .bind(name)
    .bind(write.at)
    .execute(connection)
    .await
    .map_err(database)?;
    Ok(result.rows_affected() > 0)
}
