//! The SQLite adapter. The file has one writer at a time: what a transaction has looked at stays as it is until its end.

mod audit;
mod calls;
mod keys;
mod logins;
mod roles;
mod rows;
mod sessions;
mod upkeep;
mod users;

use std::path::Path;
use std::sync::Arc;

use nexus_storage::outbox::{self, Note};
use nexus_storage::sqlite::{Database, Durability, Migration};
use sqlx::{Sqlite, Transaction};

use super::StoreError;
use super::rows::database;

const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "access",
        breaks: true,
        sql: include_str!("../../migrations/sqlite/0001_access.sql"),
    },
    Migration {
        number: 2,
        name: "audit",
        breaks: false,
        sql: include_str!("../../migrations/sqlite/0002_audit.sql"),
    },
    Migration {
        number: 3,
        name: "audit outbox",
        breaks: false,
        sql: nexus_storage::outbox::SQLITE,
    },
    Migration {
        number: 4,
        name: "calls",
        breaks: false,
        sql: include_str!("../../migrations/sqlite/0004_calls.sql"),
    },
];

/// The access service's store in a SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    database: Database,
    /// What the audit log is told with each change.
    note: Option<Arc<Note>>,
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
            note: None,
        })
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Whether a statement was done; what tests try that the port has no way to.
    #[cfg(test)]
    pub(crate) async fn run(&self, statement: &'static str) -> bool {
        let mut transaction = self.database.begin().await.expect("begin");
        let done = sqlx::query(statement).execute(&mut *transaction).await;
        done.is_ok() && transaction.commit().await.is_ok()
    }

    /// Commits a change, with what the audit log is told of it.
    async fn commit(&self, mut transaction: Transaction<'static, Sqlite>) -> Result<(), StoreError> {
        if let Some(note) = &self.note {
            outbox::put(&mut transaction, note).await?;
        }
        self.commit_unchanged(transaction).await
    }

    /// Commits what changed nothing that anybody is told of.
    async fn commit_unchanged(&self, transaction: Transaction<'static, Sqlite>) -> Result<(), StoreError> {
        transaction.commit().await.map_err(database)
    }
}
