//! Generations of workers' sessions. One sequence numbers all of them, so that a row may be removed after a while without
//! its session ever being numbered lower again.

use nexus_execution_store::{SessionId, StoreError};
use nexus_storage::postgres::Database;
use sqlx::Row;

use super::database;

/// Begins a new generation of a session. The number is drawn while the row is held: of two that resume one session at
/// once, the later one has the higher number. Nothing when the worker has made a later call already. Rows that are too
/// old to be of use go.
pub(super) async fn resume(store: &Database, session: &SessionId, resumption: u64) -> Result<Option<u64>, StoreError> {
    let row = sqlx::query(
        "WITH old AS (DELETE FROM sessions WHERE resumed_at < now() - interval '7 days' AND session <> $1)
         INSERT INTO sessions AS known (session, generation, resumption, resumed_at)
         VALUES ($1, nextval('session_generations'), $2, now())
         ON CONFLICT (session) DO UPDATE
             SET generation = nextval('session_generations'), resumption = $2, resumed_at = now()
             WHERE $2 = 0 OR known.resumption < $2
         RETURNING generation",
    )
    .bind(session.as_str())
    .bind(i64::try_from(resumption).unwrap_or(i64::MAX))
    .fetch_optional(store.writer())
    .await
    .map_err(database)?;
    row.map(|row| generation(&row, 0)).transpose()
}

/// The generations of those sessions that went on anywhere.
pub(super) async fn generations(store: &Database, sessions: &[SessionId]) -> Result<Vec<(SessionId, u64)>, StoreError> {
    let rows = sqlx::query("SELECT session, generation FROM sessions WHERE session = ANY($1::text[])")
        .bind(sessions.iter().map(SessionId::as_str).collect::<Vec<_>>())
        .fetch_all(store.writer())
        .await
        .map_err(database)?;
    let known = |row| Ok((SessionId::from(session(row)?), generation(row, 1)?));
    rows.iter().map(known).collect()
}

fn session(row: &sqlx::postgres::PgRow) -> Result<String, StoreError> {
    row.try_get(0).map_err(database)
}

fn generation(row: &sqlx::postgres::PgRow, column: usize) -> Result<u64, StoreError> {
    let number: i64 = row.try_get(column).map_err(database)?;
    u64::try_from(number).map_err(|_| StoreError::Inconsistent("a session's generation is negative".to_owned()))
}
