//! The SQLite adapter.

use std::path::Path;
use std::sync::Arc;

use nexus_storage::outbox::{self, Note};
use nexus_storage::sqlite::{Database, Durability, Migration};
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::StoreError;
use super::sql::read::database;

const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "notifications",
        breaks: true,
        sql: include_str!("../../migrations/sqlite/0001_notifications.sql"),
    },
    Migration {
        number: 2,
        name: "audit outbox",
        breaks: false,
        sql: outbox::SQLITE,
    },
];

/// The notifications service's store in a SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pub(super) database: Database,
    /// What the audit log is told with each change.
    pub(super) note: Option<Arc<Note>>,
}

impl SqliteStore {
    /// Opens (and creates, and migrates) `notifications.db` in a directory.
    ///
    /// # Errors
    /// When the file cannot be opened or holds a schema of a newer version.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("notifications.db");
        Ok(Self {
            database: Database::open(&path, Durability::Full, MIGRATIONS).await?,
            note: None,
        })
    }

    /// Writes what the audit log is told, with the change.
    pub(super) async fn tell(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        match &self.note {
            Some(note) => Ok(outbox::put(connection, note).await?),
            None => Ok(()),
        }
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.database.close().await;
    }

    pub(super) fn reader(&self) -> &SqlitePool {
        self.database.reader()
    }

    pub(super) async fn commit(&self, transaction: Transaction<'static, Sqlite>) -> Result<(), StoreError> {
        transaction.commit().await.map_err(database)
    }

    /// One writer at a time: what fails here fails for good.
    pub(super) async fn trying<T, F>(&self, mut run: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        run().await
    }
}

super::sql::adapter! {
    store: SqliteStore,
    connection: sqlx::SqliteConnection,
    row: sqlx::sqlite::SqliteRow,
    driver: sqlx::Sqlite,
    clock: "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
    lock: "",
    skip: "",
}
