//! A SQLite file: one writer, several readers, write-ahead log, migrations.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Row, Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::Error;
use crate::migration::Applied;
pub use crate::migration::Migration;

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: `synchronous=FULL`.
    Full,
    /// The death of the process; a power cut may cost the last moments.
    Normal,
}

/// Readers that one file has.
const READERS: u32 = 4;
/// Pages of memory that one connection may cache: 8 MiB.
const CACHE_KIB: &str = "-8192";

/// A SQLite file that is open.
#[derive(Debug, Clone)]
pub struct Database {
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Database {
    /// Opens a file, creating and migrating it where needed.
    ///
    /// # Errors
    /// When the file cannot be opened, is damaged, or was written by a newer version.
    pub async fn open(path: &Path, durability: Durability, migrations: &[Migration]) -> Result<Self, Error> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|source| Error::File {
                path: directory.display().to_string(),
                source,
            })?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match durability {
                Durability::Full => SqliteSynchronous::Full,
                Durability::Normal => SqliteSynchronous::Normal,
            })
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .pragma("cache_size", CACHE_KIB)
            .pragma("temp_store", "memory")
            .statement_cache_capacity(64);
        // One writer: SQLite has one at a time anyway, and a queue in front of it beats a fight for its lock.
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(|connection, _| Box::pin(require_writable(connection)))
            .after_release(|connection, _| Box::pin(is_clean(connection)))
            .connect_with(options.clone().create_if_missing(true))
            .await?;
        migrate(&writer, path, migrations).await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options.read_only(true))
            .await?;
        Ok(Self { writer, reader })
    }

    /// Begins a transaction that may write. It holds the file's one write lock from the start, so it never has to be
    /// given up half way for another writer.
    ///
    /// # Errors
    /// When the lock cannot be had in time.
    pub async fn begin(&self) -> Result<Transaction<'static, Sqlite>, Error> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Connections that only read; what is committed is seen at once.
    #[must_use]
    pub fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    /// Closes the file; what stands in the write-ahead log is written back.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// Refuses a connection that cannot write. SQLite opens a file that it may not write as read-only, without a word, and
/// such a writer would stay so when the file may be written again. Beginning a transaction does not show it (it becomes a
/// reading one), so something is written and taken back.
async fn require_writable(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("BEGIN IMMEDIATE; PRAGMA user_version = 1; ROLLBACK")
        .execute(connection)
        .await
        .map(drop)
}

/// Whether a connection may be used again. When the disk is full or fails, SQLite ends the transaction by itself; the
/// rollback that follows then finds none and fails, and the driver takes the transaction for open ever after. Such a
/// connection could never write again, so it is closed and the next one opened in its place.
async fn is_clean(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // Answered in order: what was asked before, a rollback for one, is done by then.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// Applies what is missing, each migration in a transaction of its own together with the note that it was applied.
async fn migrate(writer: &SqlitePool, path: &Path, migrations: &[Migration]) -> Result<(), Error> {
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS migrations (
             number INTEGER PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL, applied_at TEXT NOT NULL
         ) STRICT",
    )
    .execute(writer)
    .await?;
    let applied = sqlx::query("SELECT number, digest FROM migrations ORDER BY number")
        .fetch_all(writer)
        .await?;
    let applied = applied
        .iter()
        .map(|row| {
            Ok(Applied {
                number: row.try_get(0)?,
                digest: row.try_get(1)?,
                // Nothing runs beside another version on one file.
                breaks: true,
            })
        })
        .collect::<Result<Vec<Applied>, sqlx::Error>>()?;
    let shown = path.display().to_string();
    for migration in crate::migration::missing(&shown, &applied, migrations)? {
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(migration.sql).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO migrations VALUES (?1, ?2, ?3, datetime('now'))")
            .bind(migration.number)
            .bind(migration.name)
            .bind(migration.digest())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        tracing::info!(file = %path.display(), migration.number, migration.name, "migrated");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration = Migration {
        number: 1,
        name: "first",
        breaks: true,
        sql: "CREATE TABLE a (x INTEGER PRIMARY KEY);",
    };
    const SECOND: Migration = Migration {
        number: 2,
        name: "second",
        breaks: true,
        sql: "CREATE TABLE b (y TEXT);",
    };

    #[tokio::test]
    async fn migrations_are_applied_once_and_never_changed() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("deep/er/test.db");
        let open = |migrations: &'static [Migration]| Database::open(&path, Durability::Full, migrations);
        open(&[FIRST]).await.expect("create").close().await;
        open(&[FIRST, SECOND]).await.expect("migrate").close().await;
        let database = open(&[FIRST, SECOND]).await.expect("again");
        sqlx::query("SELECT y FROM b")
            .fetch_all(database.reader())
            .await
            .expect("both tables are there");
        database.close().await;
        let newer = open(&[FIRST]).await.expect_err("an older version");
        assert!(matches!(newer, Error::Newer { found: 2, known: 1, .. }), "{newer}");
        const EDITED: Migration = Migration {
            number: 1,
            name: "first",
            breaks: true,
            sql: "CREATE TABLE c (x)",
        };
        let changed = open(&[EDITED, SECOND]).await.expect_err("an edited migration");
        assert!(matches!(changed, Error::Changed { number: 1, .. }), "{changed}");
    }

    #[tokio::test]
    async fn a_full_disk_does_not_spoil_the_writer() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("test.db");
        let database = Database::open(&path, Durability::Full, &[FIRST, SECOND])
            .await
            .expect("open");
        for _ in 0..3 {
            let mut transaction = database.begin().await.expect("begin");
            // What a full disk answers, without one.
            sqlx::raw_sql("PRAGMA max_page_count = 1; INSERT INTO a VALUES (NULL)")
                .execute(&mut *transaction)
                .await
                .expect("there is room in the pages that exist");
            let full = sqlx::query("INSERT INTO b VALUES (zeroblob(1000000))")
                .execute(&mut *transaction)
                .await
                .expect_err("full");
            assert_eq!(Error::from(full).kind(), crate::ErrorKind::Full);
            drop(transaction);
        }
        let mut transaction = database.begin().await.expect("the writer writes again");
        sqlx::query("INSERT INTO a VALUES (7)")
            .execute(&mut *transaction)
            .await
            .expect("insert");
        transaction.commit().await.expect("commit");
        let rows: i64 = sqlx::query("SELECT count(*) FROM a")
            .fetch_one(database.reader())
            .await
            .expect("count")
            .get(0);
        assert_eq!(rows, 1, "what was not committed is not there");
    }

    #[tokio::test]
    async fn a_connection_that_cannot_write_is_no_writer() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("test.db");
        let database = Database::open(&path, Durability::Full, &[FIRST]).await.expect("open");
        let mut reader = database.reader().acquire().await.expect("a reader");
        let refused = require_writable(&mut reader).await.expect_err("it reads only");
        assert_eq!(Error::from(refused).kind(), crate::ErrorKind::ReadOnly);
    }

    #[tokio::test]
    async fn errors_say_what_they_mean() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("test.db");
        let database = Database::open(&path, Durability::Normal, &[FIRST]).await.expect("open");
        let mut transaction = database.begin().await.expect("begin");
        sqlx::query("INSERT INTO a VALUES (1)")
            .execute(&mut *transaction)
            .await
            .expect("insert");
        let twice = sqlx::query("INSERT INTO a VALUES (1)")
            .execute(&mut *transaction)
            .await
            .expect_err("twice");
        assert_eq!(Error::from(twice).kind(), crate::ErrorKind::Duplicate);
        let written = sqlx::query("INSERT INTO a VALUES (2)").execute(database.reader()).await;
        assert_eq!(
            Error::from(written.expect_err("a reader")).kind(),
            crate::ErrorKind::ReadOnly
        );
        std::fs::write(
            directory.path().join("no.db"),
            "this is not a database at all, whatever its name says",
        )
        .expect("w");
        let broken = Database::open(&directory.path().join("no.db"), Durability::Full, &[FIRST])
            .await
            .expect_err("no");
        assert_eq!(broken.kind(), crate::ErrorKind::Corrupt, "{}", broken.report());
    }
}
