//! The SQLite adapter. The file has one writer at a time: what a transaction has looked at stays as it is until its end.

mod keys;
mod logins;
mod roles;
mod rows;
mod sessions;
mod upkeep;
mod users;

use std::path::Path;

use nexus_storage::sqlite::{Database, Durability, Migration};
use sqlx::{Sqlite, Transaction};

use super::StoreError;
use super::rows::database;

const MIGRATIONS: &[Migration] = &[Migration {
    number: 1,
    name: "access",
    breaks: true,
    sql: include_str!("../../migrations/sqlite/0001_access.sql"),
}];

/// The access service's store in a SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    database: Database,
}

impl SqliteStore {
    /// Opens (and creates, and migrates) `access.db` in a directory.
    ///
    /// # Errors
    /// When the file cannot be opened or holds a schema of a newer version.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("access.db");
        Ok(Self {
            database: Database::open(&path, Durability::Full, MIGRATIONS).await?,
        })
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.database.close().await;
    }

    async fn commit(&self, transaction: Transaction<'static, Sqlite>) -> Result<(), StoreError> {
        transaction.commit().await.map_err(database)
    }
}
