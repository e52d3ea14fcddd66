//! Forward-only migrations, embedded in the binary and checked against what was applied before.

use sha2::{Digest, Sha256};
use sqlx::{Row, SqliteConnection};

use crate::error::StorageError;

/// One step of a schema. A step that was released is never edited; a new one is added.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// From 1, without gaps; the same number means the same step in every backend.
    pub number: u32,
    /// What it does, in a few words with underscores (the file's name).
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// Why a schema cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The list in the binary is not numbered 1, 2, 3, ...
    #[error("migration {number} is out of order; the list must be numbered from 1 without gaps")]
    OutOfOrder {
        /// The number that does not fit.
        number: u32,
    },
    /// A step was edited after it had been applied.
    #[error("migration {number} ({name}) was applied with another text; a released migration must never be edited")]
    Changed {
        /// The step's number.
        number: u32,
        /// Its name.
        name: String,
    },
    /// The database was written by a newer version.
    #[error("the database has migration {found}, this version knows {known}: it was written by a newer nexus")]
    Newer {
        /// The highest number in the database.
        found: u32,
        /// The highest number in this binary.
        known: u32,
    },
    /// A step failed; nothing of it or of those after it remains.
    #[error("migration {number} ({name}) failed")]
    Failed {
        /// The step's number.
        number: u32,
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
}

/// Brings a SQLite schema up to date inside the caller's transaction; `now` is written down in microseconds. Returns
/// how many steps were applied.
///
/// # Errors
/// See [`MigrationError`]; also when the database cannot be read.
pub async fn run(connection: &mut SqliteConnection, migrations: &[Migration], now: i64) -> Result<usize, StorageError> {
    check_order(migrations)?;
    sqlx::query(
        "create table if not exists schema_migrations (
            number integer primary key, name text not null, checksum blob not null, apply_time integer not null
        ) strict",
    )
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query("select number, name, checksum from schema_migrations order by number")
        .fetch_all(&mut *connection)
        .await?;
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    for row in &rows {
        let number: u32 = row.try_get(0)?;
        let Some(migration) = migrations.iter().find(|migration| migration.number == number) else {
            return Err(MigrationError::Newer { found: number, known }.into());
        };
        if row.try_get::<Vec<u8>, _>(2)? != checksum(migration.sql) {
            let name = row.try_get(1)?;
            return Err(MigrationError::Changed { number, name }.into());
        }
    }
    for migration in &migrations[rows.len()..] {
        apply(connection, migration, now).await?;
    }
    Ok(migrations.len() - rows.len())
}

async fn apply(connection: &mut SqliteConnection, migration: &Migration, now: i64) -> Result<(), StorageError> {
    let Migration { number, name, sql } = *migration;
    sqlx::raw_sql(sql)
        .execute(&mut *connection)
        .await
        .map_err(|source| MigrationError::Failed { number, name, source })?;
    sqlx::query("insert into schema_migrations (number, name, checksum, apply_time) values (?, ?, ?, ?)")
        .bind(number)
        .bind(name)
        .bind(checksum(sql))
        .bind(now)
        .execute(&mut *connection)
        .await?;
    tracing::info!(migration.number = number, migration.name = name, "applied migration");
    Ok(())
}

fn check_order(migrations: &[Migration]) -> Result<(), MigrationError> {
    for (expected, migration) in (1..).zip(migrations) {
        if migration.number != expected {
            return Err(MigrationError::OutOfOrder {
                number: migration.number,
            });
        }
    }
    Ok(())
}

/// The checksum leaves line ends out, so that a checkout with other ones is no change.
fn checksum(sql: &str) -> Vec<u8> {
    Sha256::digest(sql.replace("\r\n", "\n").as_bytes()).to_vec()
}
