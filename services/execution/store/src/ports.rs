//! The storage port, cut by who uses it: the owner's journal, what callers read, logs, and removal. The feed has one of its
//! own ([`crate::feed`]), and so has the membership ([`crate::membership`]).

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_engine::{Event, ExecutionState, TaskState};
use uuid::Uuid;

use crate::{
    Change, ExecutionId, ExecutionRow, Fence, LeaseToken, ListFilter, LogQuery, LogRow, Silence, StoreError,
    TaskCounts, TaskDuration, TaskRow,
};

/// What the owner writes, and loads when it takes shards over: only what shows its fence changes an execution.
#[async_trait]
pub trait Journal: Send + Sync + std::fmt::Debug {
    /// Makes `owner` the only owner, of every shard, and shuts out whoever owned them before.
    async fn claim(&self, owner: Uuid) -> Result<Fence, StoreError>;

    /// Writes all changes or none. A batch that was written before is recognised and answered with success, so a
    /// commit whose answer was lost may simply be repeated.
    async fn commit(&self, fence: Fence, changes: &[Change]) -> Result<(), StoreError>;

    /// A page of executions of some shards (of all, when none is named) that are not terminal, with their tasks, by id
    /// after `after`.
    async fn open_executions(
        &self,
        shards: &[u16],
        after: Option<ExecutionId>,
        limit: u32,
    ) -> Result<Vec<(ExecutionRow, Vec<TaskRow>)>, StoreError>;

    /// Notes leases whose workers have not been heard of for a while, for the next owner of their shards; one that is
    /// noted already keeps its beginning. It is advice, so no fence is asked. A store whose leases die with their owner
    /// notes nothing.
    async fn note_silences(&self, silences: &[Silence]) -> Result<(), StoreError> {
        let _unused = silences;
        Ok(())
    }

    /// Takes notes back: the workers were heard of.
    async fn forget_silences(&self, tokens: &[LeaseToken]) -> Result<(), StoreError> {
        let _unused = tokens;
        Ok(())
    }

    /// What is noted of some shards.
    async fn silences(&self, shards: &[u16]) -> Result<Vec<Silence>, StoreError> {
        let _unused = shards;
        Ok(Vec::new())
    }
}

/// What callers ask for. It may be a moment behind what the owner has in memory, never ahead of it.
#[async_trait]
pub trait Reads: Send + Sync + std::fmt::Debug {
    /// The execution that an idempotency key was used for, and the fingerprint of that request. The key says the namespace.
    async fn request(&self, key: &str) -> Result<Option<(ExecutionId, String)>, StoreError>;

    /// One execution.
    async fn execution(&self, id: ExecutionId) -> Result<Option<ExecutionRow>, StoreError>;

    /// The state of one execution of a namespace, for those who look often.
    async fn execution_state(
        &self,
        namespace: &Namespace,
        id: ExecutionId,
    ) -> Result<Option<ExecutionState>, StoreError> {
        let row = self.execution(id).await?.filter(|row| row.namespace == *namespace);
        Ok(row.map(|row| row.state))
    }

    /// One execution, and how many of its tasks are in which state as [`Self::task_counts`] tells it.
    async fn counted(&self, id: ExecutionId) -> Result<Option<(ExecutionRow, TaskCounts)>, StoreError> {
        let Some(row) = self.execution(id).await? else {
            return Ok(None);
        };
        let counts = self.task_counts(&[id]).await?.into_iter();
        Ok(Some((row, counts.map(|(_, state, number)| (state, number)).collect())))
    }

    /// Ids of a namespace that begin with some hex digits, at most two.
    async fn ids_with_prefix(&self, namespace: &Namespace, digits: &str) -> Result<Vec<ExecutionId>, StoreError>;

    /// A page of executions, newest first, those older than `before`; without params and outputs.
    async fn list(
        &self,
        filter: &ListFilter,
        before: Option<ExecutionId>,
        limit: u32,
    ) -> Result<Vec<ExecutionRow>, StoreError>;

    /// How many tasks of each execution are in which state; tasks without a row are not counted.
    async fn task_counts(&self, ids: &[ExecutionId]) -> Result<Vec<(ExecutionId, TaskState, u32)>, StoreError>;

    /// Tasks at positions from `from`, at most `limit` positions on.
    async fn tasks(&self, id: ExecutionId, from: u32, limit: u32) -> Result<Vec<TaskRow>, StoreError>;

    /// Events after `after`; only of one task when `task` is given.
    async fn history(
        &self,
        id: ExecutionId,
        task: Option<u32>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError>;

    /// Mean durations of a workflow's tasks over its newest finished executions, and how many those were.
    async fn durations(
        &self,
        namespace: &Namespace,
        workflow: &str,
        executions: u32,
    ) -> Result<(Vec<TaskDuration>, u32), StoreError>;
}

/// The logs of tasks, which belong to no transaction.
#[async_trait]
pub trait Logs: Send + Sync + std::fmt::Debug {
    /// Appends log lines; lines that are there already are left alone.
    async fn append_logs(&self, lines: &[LogRow]) -> Result<(), StoreError>;

    /// Log lines in their order.
    async fn logs(&self, query: LogQuery) -> Result<Vec<LogRow>, StoreError>;
}

/// What has ended long ago goes.
#[async_trait]
pub trait Removal: Send + Sync + std::fmt::Debug {
    /// Removes executions of every namespace that ended before a time, the oldest ones first, at most `limit`, with everything that belongs
    /// to them, their idempotency keys included. Gives how many.
    async fn purge(&self, finished_before: i64, limit: u32) -> Result<u64, StoreError>;
}

/// Everything that the execution service asks of a database. Who uses a part of it takes that part.
pub trait Store: Journal + Reads + Logs + Removal {}

impl<T: Journal + Reads + Logs + Removal> Store for T {}
