//! An outbox: what has to reach another service is written in the transaction of the change that it tells of, and waits here
//! until that service has it. Whoever takes it there may do so twice; what is in it has ids. The table is the same for every
//! service, in its own schema.
//!
//! Nothing is read after a position: positions are given before commits are visible, so a smaller one may appear later. What
//! is there is taken, in the order of the positions, and removed when it has arrived.

use async_trait::async_trait;
use sqlx::{Row, SqliteConnection};

use crate::{Error, sqlite};

/// The table, for SQLite; belongs into a schema's migrations.
pub const SQLITE: &str = "\
CREATE TABLE audit_outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id       TEXT    NOT NULL UNIQUE,
    -- In the form of docs/audit.md.
    entry    BLOB    NOT NULL,
    -- Microseconds since 1970.
    at       INTEGER NOT NULL
) STRICT;
";

/// The table, for Postgres; belongs into a schema's migrations.
pub const POSTGRES: &str = "\
CREATE TABLE audit_outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id       text COLLATE \"C\" NOT NULL UNIQUE,
    -- In the form of docs/audit.md.
    entry    bytea  NOT NULL,
    -- Microseconds since 1970.
    at       bigint NOT NULL
);
";

const PUT: &str = "INSERT INTO audit_outbox (id, entry, at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
const WAITING: &str = "SELECT position, entry, at FROM audit_outbox ORDER BY position LIMIT $1";
const EXTENT: &str = "\
SELECT count(*) AS entries, min(at) AS oldest FROM (SELECT at FROM audit_outbox ORDER BY position LIMIT $1) few";

/// Entries that are counted at most.
pub const COUNTED: u32 = 100_000;

/// What is put into an outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// By which it is known when it comes twice.
    pub id: String,
    /// What it says.
    pub entry: Vec<u8>,
    /// When.
    pub at: i64,
}

/// What waits in an outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Where it stands.
    pub position: i64,
    /// What it says.
    pub entry: Vec<u8>,
    /// When it was written.
    pub at: i64,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Entries, counted up to [`COUNTED`].
    pub entries: u64,
    /// When the oldest of them was written.
    pub oldest: Option<i64>,
}

/// What waits for another service.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// What has waited longest.
    async fn waiting(&self, limit: u32) -> Result<Vec<Waiting>, Error>;

    /// Removes what has arrived.
    async fn remove(&self, positions: &[i64]) -> Result<(), Error>;

    /// How much waits.
    async fn extent(&self) -> Result<Extent, Error>;
}

/// Writes into the outbox within a transaction; what is there already is left alone.
///
/// # Errors
/// When the database fails.
pub async fn put(connection: &mut SqliteConnection, note: &Note) -> Result<(), Error> {
    sqlx::query(PUT)
        .bind(&note.id)
        .bind(&note.entry)
        .bind(note.at)
        .execute(connection)
        .await?;
    Ok(())
}

/// Positions as JSON: numbers need no escapes.
fn list(positions: &[i64]) -> String {
    let numbers: Vec<String> = positions.iter().map(i64::to_string).collect();
    format!("[{}]", numbers.join(","))
}

#[async_trait]
impl Outbox for sqlite::Database {
    async fn waiting(&self, limit: u32) -> Result<Vec<Waiting>, Error> {
        let rows = sqlx::query(WAITING)
            .bind(i64::from(limit))
            .fetch_all(self.reader())
            .await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
            Ok(Waiting {
                position: row.try_get(0)?,
                entry: row.try_get(1)?,
                at: row.try_get(2)?,
            })
        };
        rows.iter().map(read).collect()
    }

    async fn remove(&self, positions: &[i64]) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM audit_outbox WHERE position IN (SELECT value FROM json_each($1))")
            .bind(list(positions))
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    async fn extent(&self) -> Result<Extent, Error> {
        let row = sqlx::query(EXTENT)
            .bind(i64::from(COUNTED))
            .fetch_one(self.reader())
            .await?;
        let entries: i64 = row.try_get(0)?;
        Ok(Extent {
            entries: u64::try_from(entries).unwrap_or_default(),
            oldest: row.try_get(1)?,
        })
    }
}

#[cfg(feature = "postgres")]
pub use of_postgres::put as put_postgres;

#[cfg(feature = "postgres")]
mod of_postgres {
    use sqlx::PgConnection;
    use sqlx::postgres::PgRow;

    use super::{COUNTED, EXTENT, Error, Extent, Note, Outbox, PUT, Row, WAITING, Waiting, async_trait};
    use crate::postgres::Database;

    /// Writes into the outbox within a transaction; what is there already is left alone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put(connection: &mut PgConnection, note: &Note) -> Result<(), Error> {
        sqlx::query(PUT)
            .bind(&note.id)
            .bind(&note.entry)
            .bind(note.at)
            .execute(connection)
            .await?;
        Ok(())
    }

    #[async_trait]
    impl Outbox for Database {
        async fn waiting(&self, limit: u32) -> Result<Vec<Waiting>, Error> {
            let rows = sqlx::query(WAITING)
                .bind(i64::from(limit))
                .fetch_all(self.reader())
                .await?;
            let read = |row: &PgRow| {
                Ok(Waiting {
                    position: row.try_get(0)?,
                    entry: row.try_get(1)?,
                    at: row.try_get(2)?,
                })
            };
            rows.iter().map(read).collect()
        }

        async fn remove(&self, positions: &[i64]) -> Result<(), Error> {
            sqlx::query("DELETE FROM audit_outbox WHERE position = ANY($1)")
                .bind(positions)
                .execute(self.writer())
                .await?;
            Ok(())
        }

        async fn extent(&self) -> Result<Extent, Error> {
            let row = sqlx::query(EXTENT)
                .bind(i64::from(COUNTED))
                .fetch_one(self.reader())
                .await?;
            let entries: i64 = row.try_get(0)?;
            Ok(Extent {
                entries: u64::try_from(entries).unwrap_or_default(),
                oldest: row.try_get(1)?,
            })
        }
    }
}
