//! The Postgres adapter. Several replicas write at once: what they take is locked and passed over by others.

use std::sync::Arc;

use nexus_storage::Migration;
use nexus_storage::outbox::{self, Note};
use nexus_storage::postgres::{Database, Options};
use nexus_storage::retry::{Budget, Retriable, retry};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use super::StoreError;

const SCHEMA: &str = "notifications";

const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "notifications",
        breaks: true,
        sql: include_str!("../../migrations/postgres/0001_notifications.sql"),
    },
    Migration {
        number: 2,
        name: "audit outbox",
        breaks: false,
        sql: outbox::POSTGRES,
    },
    Migration {
        number: 3,
        name: "commits",
        breaks: false,
        sql: nexus_storage::postgres::COMMITS,
    },
];

/// The notifications service's store in a schema of a Postgres database.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pub(super) database: Database,
    /// What the audit log is told with each change.
    pub(super) note: Option<Arc<Note>>,
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

    /// Writes what the audit log is told, with the change.
    pub(super) async fn tell(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let Some(note) = &self.note else { return Ok(()) };
        Ok(outbox::put_postgres(connection, note).await?)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.database.close().await;
    }

    pub(super) fn reader(&self) -> &PgPool {
        self.database.reader()
    }

    /// Commits, and finds out what became of it when the answer is lost.
    pub(super) async fn commit(&self, transaction: Transaction<'static, Postgres>) -> Result<(), StoreError> {
        Ok(self.database.commit(transaction).await?)
    }

    /// Does something, again while it fails for the moment only. Errors say which database they are about.
    pub(super) async fn trying<T, F>(&self, run: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        retry(Budget::default(), run).await.map_err(|error| match error {
            StoreError::Database(error) => StoreError::Database(error.at(self.database.place())),
            other => other,
        })
    }
}

impl Retriable for StoreError {
    fn is_retriable(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_retriable())
    }
}

super::sql::adapter! {
    store: PostgresStore,
    connection: sqlx::PgConnection,
    row: sqlx::postgres::PgRow,
    driver: sqlx::Postgres,
    clock: "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    lock: " FOR UPDATE",
    skip: " FOR UPDATE SKIP LOCKED",
}
