//! The SQLite adapter: one file for executions, one for logs. Writes are multi-row: a batch is handed over as one JSON
//! array a table and unfolded by `json_each`, so a commit is a handful of statements however many rows it has.

mod commit;
mod feed;
mod logs;
mod purge;
mod read;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_engine::{Event, TaskState};
use nexus_execution_store::ExecutionId;
use nexus_execution_store::{
    Change, ExecutionRow, Fence, Journal, ListFilter, LogQuery, LogRow, Logs, Reads, Removal, StoreError, TaskDuration,
    TaskRow,
};
use nexus_storage::outbox::Outbox;
use nexus_storage::sqlite::{Database, Durability, Migration};
use uuid::Uuid;

const EXECUTIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "executions",
        breaks: true,
        sql: include_str!("../migrations/sqlite/0001_executions.sql"),
    },
    Migration {
        number: 2,
        name: "leases",
        breaks: true,
        sql: include_str!("../migrations/sqlite/0002_leases.sql"),
    },
    Migration {
        number: 3,
        name: "retention",
        breaks: true,
        sql: include_str!("../migrations/sqlite/0003_retention.sql"),
    },
    Migration {
        number: 4,
        name: "namespaces",
        breaks: true,
        sql: include_str!("../migrations/sqlite/0004_namespaces.sql"),
    },
    Migration {
        number: 5,
        name: "feed",
        breaks: true,
        sql: include_str!("../migrations/sqlite/0005_feed.sql"),
    },
    Migration {
        number: 6,
        name: "audit outbox",
        breaks: false,
        sql: nexus_storage::outbox::SQLITE,
    },
];
const LOGS: &[Migration] = &[Migration {
    number: 1,
    name: "logs",
    breaks: true,
    sql: include_str!("../migrations/sqlite/0001_logs.sql"),
}];

/// The execution service's store in SQLite files.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    executions: Database,
    logs: Database,
}

impl SqliteStore {
    /// What waits for the audit log.
    #[must_use]
    pub fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.executions.clone())
    }

    /// Opens (and creates, and migrates) `execution.db` and `logs.db` in a directory.
    ///
    /// # Errors
    /// When a file cannot be opened or holds a schema of a newer version.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        let executions = Database::open(&directory.join("execution.db"), Durability::Full, EXECUTIONS).await?;
        // A log line may be lost with a power cut, a state never.
        let logs = Database::open(&directory.join("logs.db"), Durability::Normal, LOGS).await?;
        Ok(Self { executions, logs })
    }

    /// Closes the files, so that nothing is left in their write-ahead logs.
    pub async fn close(&self) {
        self.executions.close().await;
        self.logs.close().await;
    }
}

/// A database error in the port's words.
fn database(error: sqlx::Error) -> StoreError {
    StoreError::Database(nexus_storage::Error::from(error))
}

#[async_trait]
impl Journal for SqliteStore {
    async fn claim(&self, owner: Uuid) -> Result<Fence, StoreError> {
        commit::claim(&self.executions, owner).await
    }

    async fn commit(&self, fence: Fence, changes: &[Change]) -> Result<(), StoreError> {
        commit::commit(&self.executions, fence, changes).await
    }

    async fn open_executions(
        &self,
        shards: &[u16],
        after: Option<ExecutionId>,
        limit: u32,
    ) -> Result<Vec<(ExecutionRow, Vec<TaskRow>)>, StoreError> {
        read::open_executions(&self.executions, shards, after, limit).await
    }
}

#[async_trait]
impl Reads for SqliteStore {
    async fn request(&self, key: &str) -> Result<Option<(ExecutionId, String)>, StoreError> {
        read::request(&self.executions, key).await
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<ExecutionRow>, StoreError> {
        read::execution(&self.executions, id).await
    }

    async fn ids_with_prefix(&self, namespace: &Namespace, digits: &str) -> Result<Vec<ExecutionId>, StoreError> {
        read::ids_with_prefix(&self.executions, namespace, digits).await
    }

    async fn list(
        &self,
        filter: &ListFilter,
        before: Option<ExecutionId>,
        limit: u32,
    ) -> Result<Vec<ExecutionRow>, StoreError> {
        read::list(&self.executions, filter, before, limit).await
    }

    async fn task_counts(&self, ids: &[ExecutionId]) -> Result<Vec<(ExecutionId, TaskState, u32)>, StoreError> {
        read::task_counts(&self.executions, ids).await
    }

    async fn tasks(&self, id: ExecutionId, from: u32, limit: u32) -> Result<Vec<TaskRow>, StoreError> {
        read::tasks(&self.executions, id, from, limit).await
    }

    async fn history(
        &self,
        id: ExecutionId,
        task: Option<u32>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        read::history(&self.executions, id, task, after, limit).await
    }

    async fn durations(
        &self,
        namespace: &Namespace,
        workflow: &str,
        executions: u32,
    ) -> Result<(Vec<TaskDuration>, u32), StoreError> {
        match namespace.find(workflow) {
            Some(workflow) => read::durations(&self.executions, &workflow, executions).await,
            None => Ok((Vec::new(), 0)),
        }
    }
}

#[async_trait]
impl Logs for SqliteStore {
    async fn append_logs(&self, lines: &[LogRow]) -> Result<(), StoreError> {
        logs::append(&self.logs, lines).await
    }

    async fn logs(&self, query: LogQuery) -> Result<Vec<LogRow>, StoreError> {
        logs::list(&self.logs, query).await
    }
}

#[async_trait]
impl Removal for SqliteStore {
    async fn purge(&self, finished_before: i64, limit: u32) -> Result<u64, StoreError> {
        purge::purge(&self.executions, &self.logs, finished_before, limit).await
    }
}
