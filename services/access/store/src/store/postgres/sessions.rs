//! Sessions.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::users::forgive;
use super::{PostgresStore, rows as read};
use crate::store::rows::{database, json, method_number};
use crate::store::{MAX_SESSIONS, Refused, SessionRow, Sessions, StoreError, Wanted};

#[async_trait]
impl Sessions for PostgresStore {
    async fn begin_session(&self, session: &SessionRow, seen: i64) -> Result<(), StoreError> {
        self.trying(|| async {
            let mut transaction = self.database.begin().await?;
            begin(&mut transaction, session, Some(seen)).await?;
            self.commit(transaction).await
        })
        .await
    }

    async fn session(&self, id: &str) -> Result<Option<SessionRow>, StoreError> {
        self.trying(|| async {
            let row = sqlx::query("SELECT * FROM sessions WHERE id = $1")
                .bind(id)
                .fetch_optional(self.database.reader())
                .await
                .map_err(database)?;
            row.as_ref().map(read::session).transpose()
        })
        .await
    }

    async fn sessions(&self, wanted: &Wanted, limit: u32) -> Result<Vec<SessionRow>, StoreError> {
        self.trying(|| async {
            let rows = sqlx::query(
                "SELECT * FROM sessions
             WHERE ($1::text IS NULL OR user_name = $1) AND ($2::text IS NULL OR id < $2)
               AND ($3::bigint IS NULL OR expires_at > $3)
             ORDER BY id DESC LIMIT $4",
            )
            .bind(wanted.user.as_deref())
            .bind(wanted.before.as_deref())
            .bind(wanted.alive_at)
            .bind(i64::from(limit))
            .fetch_all(self.database.reader())
            .await
            .map_err(database)?;
            rows.iter().map(read::session).collect()
        })
        .await
    }

    async fn end_session(&self, id: &str, at: i64) -> Result<bool, StoreError> {
        self.trying(|| async {
            let mut transaction = self.database.begin().await?;
            let done = sqlx::query("UPDATE sessions SET expires_at = $2 WHERE id = $1 AND expires_at > $2")
                .bind(id)
                .bind(at)
                .execute(&mut *transaction)
                .await
                .map_err(database)?;
            if done.rows_affected() > 0 {
                self.commit(transaction).await?;
                return Ok(true);
            }
            sqlx::query_scalar(KNOWN)
                .bind(id)
                .fetch_one(&mut *transaction)
                .await
                .map_err(database)
        })
        .await
    }
}

const KNOWN: &str = "SELECT EXISTS (SELECT 1 FROM sessions WHERE id = $1)";

/// Begins a session within a transaction.
pub(super) async fn begin(
    connection: &mut PgConnection,
    session: &SessionRow,
    seen: Option<i64>,
) -> Result<(), StoreError> {
    // The row of the user is locked by it: whoever disables or deletes them comes before or after, and not in between.
    let user = sqlx::query(
        "UPDATE users SET last_login_at = $2 WHERE name = $1 AND NOT disabled AND ($3::bigint IS NULL OR version = $3)",
    )
    .bind(&session.user)
    .bind(session.created_at)
    .bind(seen)
    .execute(&mut *connection)
    .await
    .map_err(database)?;
    if user.rows_affected() == 0 {
        return Err(Refused::Absent.into());
    }
    sqlx::query(
        "INSERT INTO sessions (id, digest, user_name, method, client, address, grants, created_at, expires_at,
             last_used_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&session.id)
    .bind(session.digest.as_bytes())
    .bind(&session.user)
    .bind(method_number(session.method))
    .bind(&session.client)
    .bind(&session.address)
    .bind(json(&session.grants)?)
    .bind(session.created_at)
    .bind(session.expires_at)
    .bind(session.last_used_at)
    .execute(&mut *connection)
    .await
    .map_err(database)?;
    sqlx::query(
        "DELETE FROM sessions WHERE id IN
             (SELECT id FROM sessions WHERE user_name = $1 ORDER BY id DESC OFFSET $2)",
    )
    .bind(&session.user)
    .bind(MAX_SESSIONS)
    .execute(&mut *connection)
    .await
    .map_err(database)?;
    forgive(connection, &session.user).await
}
