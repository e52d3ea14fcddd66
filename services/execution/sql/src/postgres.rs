//! The Postgres adapter: a schema of its own. Writes are multi-row: a batch is handed over as arrays, one a column, and
//! unfolded by `unnest`, so a commit is one statement however many rows it has.

mod columns;
mod commit;
mod entries;
mod feed;
mod logs;
mod membership;
mod purge;
mod read;
mod sessions;
mod silences;
mod statement;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_engine::{Event, ExecutionState, TaskState};
use nexus_execution_store::membership::{Membership, Replica, View};
use nexus_execution_store::{
    Change, ExecutionRow, Fence, Journal, ListFilter, LogQuery, LogRow, Logs, Reads, Removal, Silence, StoreError,
    TaskCounts, TaskDuration, TaskRow,
};
use nexus_execution_store::{ExecutionId, LeaseToken, SessionId};
use nexus_storage::Migration;
use nexus_storage::outbox::Outbox;
use nexus_storage::postgres::{Database, Options};
use nexus_storage::retry::{Budget, retry};
use tokio::time::timeout;
use uuid::Uuid;

const SCHEMA: &str = "execution";

const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "executions",
        breaks: true,
        sql: include_str!("../migrations/postgres/0001_executions.sql"),
    },
    Migration {
        number: 2,
        name: "leases",
        breaks: true,
        sql: include_str!("../migrations/postgres/0002_leases.sql"),
    },
    Migration {
        number: 3,
        name: "retention",
        breaks: true,
        sql: include_str!("../migrations/postgres/0003_retention.sql"),
    },
    Migration {
        number: 4,
        name: "silences",
        breaks: false,
        sql: include_str!("../migrations/postgres/0004_silences.sql"),
    },
    Migration {
        number: 5,
        name: "sessions",
        breaks: false,
        sql: include_str!("../migrations/postgres/0005_sessions.sql"),
    },
    Migration {
        number: 6,
        name: "namespaces",
        breaks: false,
        sql: include_str!("../migrations/postgres/0006_namespaces.sql"),
    },
    Migration {
        number: 7,
        name: "feed",
        breaks: false,
        sql: include_str!("../migrations/postgres/0007_feed.sql"),
    },
    Migration {
        number: 8,
        name: "audit outbox",
        breaks: false,
        sql: nexus_storage::outbox::POSTGRES,
    },
];

/// How long a commit is waited for. After that the replica has lost its membership if the database does not answer at all;
/// and if its machine is gone without a word, nothing else would end the wait.
const WRITING: Duration = Duration::from_secs(8);

/// For reads, which nothing hurts to do again.
const READING: Budget = Budget {
    total: Duration::from_secs(8),
    first: Duration::from_millis(10),
    longest: Duration::from_secs(1),
};

/// The execution service's store in a schema of a Postgres database.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    database: Database,
    /// Whether somebody reads the feed, as the last commit found it.
    read: Arc<commit::Read>,
}

impl PostgresStore {
    /// What waits for the audit log.
    #[must_use]
    pub fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.database.clone())
    }

    /// Connects to a database. Its schema is migrated or verified afterwards.
    ///
    /// # Errors
    /// When the address cannot be used or no connection can be had in time.
    pub async fn connect(url: &str, options: Options) -> Result<Self, StoreError> {
        Ok(Self {
            database: Database::connect(url, SCHEMA, options).await?,
            read: Arc::default(),
        })
    }

    /// Applies what the schema lacks; replicas may do so at once.
    ///
    /// # Errors
    /// When the schema was written by a newer version, or the database fails.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        Ok(self.database.migrate(MIGRATIONS).await?)
    }

    /// Checks that the schema is what this version needs, and changes nothing.
    ///
    /// # Errors
    /// When it is not.
    pub async fn verify(&self) -> Result<(), StoreError> {
        Ok(self.database.verify(MIGRATIONS).await?)
    }

    /// What names this mesh: the same for all replicas over one database, and no other's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mesh(&self) -> Result<String, StoreError> {
        self.named(retry(READING, || membership::mesh(&self.database)).await)
    }

    /// Adds to an error which database it is about.
    fn named<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.map_err(|error| match error {
            StoreError::Database(error) => StoreError::Database(error.at(self.database.place())),
            other => other,
        })
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

/// A database error in the port's words.
fn database(error: sqlx::Error) -> StoreError {
    StoreError::Database(nexus_storage::Error::from(error))
}

#[async_trait]
impl Journal for PostgresStore {
    async fn claim(&self, owner: Uuid) -> Result<Fence, StoreError> {
        self.named(membership::claim(&self.database, owner).await)
    }

    async fn commit(&self, fence: Fence, changes: &[Change]) -> Result<(), StoreError> {
        // Given up, it may be done all the same; then it is recognised when it comes again.
        let writing = timeout(WRITING, commit::commit(&self.database, &self.read, fence, changes));
        let late = |_| StoreError::Database(nexus_storage::Error::timed_out());
        self.named(writing.await.map_err(late).flatten())
    }

    async fn open_executions(
        &self,
        shards: &[u16],
        after: Option<ExecutionId>,
        limit: u32,
    ) -> Result<Vec<(ExecutionRow, Vec<TaskRow>)>, StoreError> {
        self.named(retry(READING, || read::open_executions(&self.database, shards, after, limit)).await)
    }

    async fn note_silences(&self, silences: &[Silence]) -> Result<(), StoreError> {
        self.named(retry(READING, || silences::note(&self.database, silences)).await)
    }

    async fn forget_silences(&self, tokens: &[LeaseToken]) -> Result<(), StoreError> {
        self.named(retry(READING, || silences::forget(&self.database, tokens)).await)
    }

    async fn silences(&self, shards: &[u16]) -> Result<Vec<Silence>, StoreError> {
        self.named(retry(READING, || silences::list(&self.database, shards)).await)
    }
}

#[async_trait]
impl Reads for PostgresStore {
    async fn request(&self, key: &str) -> Result<Option<(ExecutionId, String)>, StoreError> {
        self.named(retry(READING, || read::request(&self.database, key)).await)
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<ExecutionRow>, StoreError> {
        self.named(retry(READING, || read::execution(&self.database, id)).await)
    }

    async fn execution_state(
        &self,
        namespace: &Namespace,
        id: ExecutionId,
    ) -> Result<Option<ExecutionState>, StoreError> {
        self.named(retry(READING, || read::execution_state(&self.database, namespace, id)).await)
    }

    async fn counted(&self, id: ExecutionId) -> Result<Option<(ExecutionRow, TaskCounts)>, StoreError> {
        self.named(retry(READING, || read::counted(&self.database, id)).await)
    }

    async fn ids_with_prefix(&self, namespace: &Namespace, digits: &str) -> Result<Vec<ExecutionId>, StoreError> {
        self.named(retry(READING, || read::ids_with_prefix(&self.database, namespace, digits)).await)
    }

    async fn list(
        &self,
        filter: &ListFilter,
        before: Option<ExecutionId>,
        limit: u32,
    ) -> Result<Vec<ExecutionRow>, StoreError> {
        self.named(retry(READING, || read::list(&self.database, filter, before, limit)).await)
    }

    async fn task_counts(&self, ids: &[ExecutionId]) -> Result<Vec<(ExecutionId, TaskState, u32)>, StoreError> {
        self.named(retry(READING, || read::task_counts(&self.database, ids)).await)
    }

    async fn tasks(&self, id: ExecutionId, from: u32, limit: u32) -> Result<Vec<TaskRow>, StoreError> {
        self.named(retry(READING, || read::tasks(&self.database, id, from, limit)).await)
    }

    async fn history(
        &self,
        id: ExecutionId,
        task: Option<u32>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        self.named(retry(READING, || read::history(&self.database, id, task, after, limit)).await)
    }

    async fn durations(
        &self,
        namespace: &Namespace,
        workflow: &str,
        executions: u32,
    ) -> Result<(Vec<TaskDuration>, u32), StoreError> {
        let Some(workflow) = namespace.find(workflow) else {
            return Ok((Vec::new(), 0));
        };
        self.named(retry(READING, || read::durations(&self.database, &workflow, executions)).await)
    }
}

#[async_trait]
impl Logs for PostgresStore {
    async fn append_logs(&self, lines: &[LogRow]) -> Result<(), StoreError> {
        // Lines that are there already are left alone, so this too may be done again.
        self.named(retry(READING, || logs::append(&self.database, lines)).await)
    }

    async fn logs(&self, query: LogQuery) -> Result<Vec<LogRow>, StoreError> {
        self.named(retry(READING, || logs::list(&self.database, query)).await)
    }
}

#[async_trait]
impl Removal for PostgresStore {
    async fn purge(&self, finished_before: i64, limit: u32) -> Result<u64, StoreError> {
        // What is gone already is not found again.
        self.named(retry(READING, || purge::purge(&self.database, finished_before, limit)).await)
    }
}

#[async_trait]
impl Membership for PostgresStore {
    async fn join(&self, replica: &Replica, lease: Duration) -> Result<Fence, StoreError> {
        self.named(membership::join(&self.database, replica, lease).await)
    }

    async fn renew(&self, replica: &Replica, lease: Duration) -> Result<View, StoreError> {
        self.named(membership::renew(&self.database, replica, lease).await)
    }

    async fn acquire(&self, owner: Uuid, shards: &[u16]) -> Result<Vec<u16>, StoreError> {
        self.named(membership::acquire(&self.database, owner, shards).await)
    }

    async fn release(&self, owner: Uuid, shards: &[u16]) -> Result<(), StoreError> {
        self.named(membership::release(&self.database, owner, shards).await)
    }

    async fn leave(&self, owner: Uuid) -> Result<(), StoreError> {
        self.named(membership::leave(&self.database, owner).await)
    }

    fn place(&self) -> &Arc<str> {
        self.database.place()
    }

    async fn resume_session(&self, session: &SessionId, resumption: u64) -> Result<Option<u64>, StoreError> {
        self.named(sessions::resume(&self.database, session, resumption).await)
    }

    async fn session_generations(&self, sessions: &[SessionId]) -> Result<Vec<(SessionId, u64)>, StoreError> {
        self.named(sessions::generations(&self.database, sessions).await)
    }
}
