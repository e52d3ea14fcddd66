//! SQLite as NEXUS uses it: one writer connection, several readers, WAL, and every commit on disk before it returns.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::error::StorageError;
use crate::migrate::{self, Migration};

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call waits for a connection of a pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that may read side by side.
const READERS: u32 = 4;

/// A SQLite database: a pool of one connection that writes and a pool that can only read. Clones share both.
#[derive(Debug, Clone)]
pub struct Database {
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Database {
    /// Opens a database file, making it and its directory if they are missing, and brings its schema up to date. `now`
    /// (microseconds) is written down with each migration that is applied.
    ///
    /// # Errors
    /// When the file cannot be made or opened, is no database, or its schema cannot be brought up to date.
    pub async fn open(path: &Path, migrations: &[Migration], now: i64) -> Result<Self, StorageError> {
        if let Some(directory) = path.parent() {
            tokio::fs::create_dir_all(directory)
                .await
                .map_err(|source| StorageError::Directory {
                    path: directory.display().to_string(),
                    source,
                })?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: an acknowledged commit survives a power cut, not only a crash of the process.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(256)
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-16384");
        // One writer: SQLite allows no more, and a queue in the pool is fairer than its busy loop.
        let writer = pool(1).connect_with(options.clone()).await?;
        let mut transaction = writer.begin_with("begin immediate").await?;
        migrate::run(&mut transaction, migrations, now).await?;
        transaction.commit().await?;
        let reader = pool(READERS)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await?;
        Ok(Self { writer, reader })
    }

    /// The connections for reading; writing through them is an error.
    #[must_use]
    pub fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    /// The one connection for writing.
    #[must_use]
    pub fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// Starts a transaction that has the write lock from its first moment, so that it cannot fail half-way for want of
    /// it. Dropped without a commit it leaves nothing behind.
    ///
    /// # Errors
    /// When the writer is busy for too long or the database is closed.
    pub async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StorageError> {
        Ok(self.writer.begin_with("begin immediate").await?)
    }

    /// Closes both pools; waits for calls under way.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // Connections to a file do not go stale; keeping them keeps their prepared statements.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::MigrationError;

    const ONE: Migration = Migration {
        number: 1,
        name: "notes",
        sql: "create table notes (id integer primary key, text text not null unique) strict;
              create index notes_text on notes (text);",
    };
    const TWO: Migration = Migration {
        number: 2,
        name: "stars",
        sql: "alter table notes add column stars integer not null default 0;",
    };

    async fn insert(database: &Database, text: &str) -> Result<(), StorageError> {
        let mut transaction = database.begin().await?;
        sqlx::query("insert into notes (text) values (?)")
            .bind(text)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    #[tokio::test]
    async fn commits_are_durable_and_readers_cannot_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/x.db");
        let database = Database::open(&path, &[ONE], 7).await.unwrap();
        insert(&database, "hello").await.unwrap();
        let pragma = |name: &'static str| {
            let writer = database.writer().clone();
            async move { sqlx::query_scalar::<_, String>(name).fetch_one(&writer).await.unwrap() }
        };
        assert_eq!(pragma("select journal_mode from pragma_journal_mode").await, "wal");
        assert_eq!(
            pragma("select cast(synchronous as text) from pragma_synchronous").await,
            "2"
        );
        assert_eq!(
            pragma("select cast(foreign_keys as text) from pragma_foreign_keys").await,
            "1"
        );
        let refused = sqlx::query("delete from notes")
            .execute(database.reader())
            .await
            .unwrap_err();
        assert!(matches!(StorageError::from(refused), StorageError::ReadOnly(_)));
        let count: i64 = sqlx::query_scalar("select count(*) from notes")
            .fetch_one(database.reader())
            .await
            .unwrap();
        assert_eq!(count, 1);
        database.close().await;
        let again = Database::open(&path, &[ONE, TWO], 9).await.unwrap();
        let stars: i64 = sqlx::query_scalar("select stars from notes")
            .fetch_one(again.reader())
            .await
            .unwrap();
        assert_eq!(stars, 0);
    }

    #[tokio::test]
    async fn a_dropped_transaction_leaves_nothing_and_a_second_key_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("x.db"), &[ONE], 0).await.unwrap();
        {
            let mut transaction = database.begin().await.unwrap();
            sqlx::query("insert into notes (text) values ('gone')")
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        insert(&database, "x").await.unwrap();
        assert!(insert(&database, "x").await.unwrap_err().is_unique_violation());
        let count: i64 = sqlx::query_scalar("select count(*) from notes")
            .fetch_one(database.reader())
            .await
            .unwrap();
        assert_eq!(count, 1);
    }

    #[tokio::test]
    async fn edited_newer_and_misnumbered_migrations_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        Database::open(&path, &[ONE, TWO], 0).await.unwrap().close().await;
        let problem = async |migrations: &[Migration]| match Database::open(&path, migrations, 0).await {
            Err(StorageError::Migration(error)) => error,
            other => panic!("{other:?}"),
        };
        let edited = Migration {
            sql: "create table other (id integer)",
            ..ONE
        };
        assert!(matches!(
            problem(&[edited, TWO]).await,
            MigrationError::Changed { number: 1, .. }
        ));
        assert!(matches!(
            problem(&[ONE]).await,
            MigrationError::Newer { found: 2, known: 1 }
        ));
        assert!(matches!(
            problem(&[TWO]).await,
            MigrationError::OutOfOrder { number: 2 }
        ));
        let broken = Migration {
            number: 3,
            name: "broken",
            sql: "create table a (id integer); create nonsense",
        };
        assert!(matches!(
            problem(&[ONE, TWO, broken]).await,
            MigrationError::Failed { number: 3, .. }
        ));
        let fine = Database::open(&path, &[ONE, TWO], 0).await.unwrap();
        let left: i64 = sqlx::query_scalar("select count(*) from sqlite_master where name = 'a'")
            .fetch_one(fine.reader())
            .await
            .unwrap();
        assert_eq!(left, 0, "a failed migration leaves nothing");
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        std::fs::write(
            &path,
            "this is surely not a database file, however long it may be made to look like one",
        )
        .unwrap();
        assert!(matches!(
            Database::open(&path, &[], 0).await,
            Err(StorageError::Corrupt(_))
        ));
    }
}
