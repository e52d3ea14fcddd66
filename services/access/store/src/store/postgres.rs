//! The Postgres adapter.
//!
//! Several replicas write at once. What depends on more than one row, such as that there is an administrator and that every
//! role that somebody has is there, is decided under the lock of one row ([`lock`]): such changes are rare. What fails for
//! the moment is done again; a commit whose answer was lost is looked up before that, so nothing is written twice.

mod audit;
mod calls;
mod keys;
mod logins;
mod roles;
mod rows;
mod sessions;
mod upkeep;
mod users;

use std::sync::Arc;

use nexus_storage::Migration;
use nexus_storage::outbox::{self, Note};
use nexus_storage::postgres::{Database, Options};
use nexus_storage::retry::{Budget, Retriable, retry};
use sqlx::{PgConnection, Postgres, Transaction};

use super::StoreError;
use super::rows::database;

const SCHEMA: &str = "access";

const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "access",
        breaks: true,
        sql: include_str!("../../migrations/postgres/0001_access.sql"),
    },
    Migration {
        number: 2,
        name: "commits",
        breaks: false,
        sql: nexus_storage::postgres::COMMITS,
    },
    Migration {
        number: 3,
        name: "audit",
        breaks: false,
        sql: include_str!("../../migrations/postgres/0003_audit.sql"),
    },
    Migration {
        number: 4,
        name: "audit outbox",
        breaks: false,
        sql: nexus_storage::outbox::POSTGRES,
    },
    Migration {
        number: 5,
        name: "calls",
        breaks: false,
        sql: include_str!("../../migrations/postgres/0005_calls.sql"),
    },
];

/// The access service's store in a schema of a Postgres database.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    database: Database,
    /// What the audit log is told with each change.
    note: Option<Arc<Note>>,
}

impl PostgresStore {
    /// Connects to a database. Its schema is migrated or verified afterwards.
    ///
    /// # Errors
    /// When the address cannot be used or no connection can be had in time.
    pub async fn connect(url: &str, options: Options) -> Result<Self, StoreError> {
        Ok(Self {
            database: Database::connect(url, SCHEMA, options).await?,
            note: None,
        })
    }

    /// Applies what the schema lacks; replicas may do so at once.
    ///
    /// # Errors
    /// When the schema was written by a newer version, or the database fails.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let migrated = self.database.migrate(MIGRATIONS).await;
        Ok(migrated.map_err(|error| error.at(self.database.place()))?)
    }

    /// Checks that the schema is what this version needs, and changes nothing.
    ///
    /// # Errors
    /// When it is not.
    pub async fn verify(&self) -> Result<(), StoreError> {
        let verified = self.database.verify(MIGRATIONS).await;
        Ok(verified.map_err(|error| error.at(self.database.place()))?)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Does something, again while it fails for the moment only. Errors say which database they are about.
    async fn trying<T, F>(&self, run: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        retry(Budget::default(), run).await.map_err(|error| match error {
            StoreError::Database(error) => StoreError::Database(error.at(self.database.place())),
            other => other,
        })
    }

    /// Whether a statement was done; what tests try that the port has no way to.
    #[cfg(test)]
    pub(crate) async fn run(&self, statement: &'static str) -> bool {
        sqlx::query(statement).execute(self.database.writer()).await.is_ok()
    }

    /// Commits a change, with what the audit log is told of it.
    async fn commit(&self, mut transaction: Transaction<'static, Postgres>) -> Result<(), StoreError> {
        if let Some(note) = &self.note {
            outbox::put_postgres(&mut transaction, note).await?;
        }
        self.commit_unchanged(transaction).await
    }

    /// Commits what changed nothing that anybody is told of.
    async fn commit_unchanged(&self, transaction: Transaction<'static, Postgres>) -> Result<(), StoreError> {
        Ok(self.database.commit(transaction).await?)
    }
}

impl Retriable for StoreError {
    fn is_retriable(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_retriable())
    }
}

/// Waits for others that change users, roles or keys, until the transaction's end.
async fn lock(connection: &mut PgConnection) -> Result<(), StoreError> {
    let locked = sqlx::query("SELECT 1 FROM administration WHERE id = 1 FOR UPDATE")
        .execute(connection)
        .await;
    locked.map(drop).map_err(database)
}
