//! The storage port: what the execution service asks of a database, in its own words. `nexus-execution-sql` has the
//! adapters that hold the SQL; the [`memory`] is the model that simulations run over.

pub mod codec;
pub mod facts;
pub mod feed;
mod ids;
pub mod membership;
#[cfg(any(test, feature = "model"))]
pub mod memory;
mod ports;
#[cfg(any(test, feature = "model"))]
pub mod samples;

use std::collections::BTreeMap;
use std::sync::Arc;

use nexus_api::Namespace;
use nexus_engine::{Closing, Event, ExecutionState, Failure, TaskState};
use nexus_storage::retry::Retriable;
use uuid::Uuid;

pub use ids::{ExecutionId, Ids, LeaseToken, SHARDS, SessionId, shard_of_token};
pub use ports::{Journal, Logs, Reads, Removal, Store};

/// Proof of ownership: every write shows it. It is worth nothing any more once a newer owner has shut this one out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The owning process, under a name that is used once: who was shut out comes back under another.
    pub owner: Uuid,
    /// Grows with every owner that comes.
    pub epoch: i64,
}

/// An execution without its tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionRow {
    /// Its id.
    pub id: ExecutionId,
    /// The namespace that it belongs to, as its workflow does.
    pub namespace: Namespace,
    /// The workflow's name.
    pub workflow: String,
    /// The revision that runs.
    pub revision: u32,
    /// Where it stands.
    pub state: ExecutionState,
    /// What ends it early.
    pub closing: Option<Closing>,
    /// Why it is ended early.
    pub closing_reason: String,
    /// Key-value pairs.
    pub labels: BTreeMap<String, String>,
    /// The trace that it was started in.
    pub traceparent: String,
    /// Number of its newest event.
    pub sequence: u64,
    /// When it was accepted.
    pub created_at: i64,
    /// When its first task was handed out.
    pub started_at: Option<i64>,
    /// When it became terminal.
    pub finished_at: Option<i64>,
    /// Why it did not succeed.
    pub failure: Option<Failure>,
    /// Parameters as JSON text; empty where a call says so.
    pub params: Arc<str>,
    /// Output as JSON text; absent where a call says so.
    pub output: Option<Arc<str>>,
}

/// A task of an execution. Tasks that nothing has happened to have no row.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// Position in the plan.
    pub position: u32,
    /// Where it stands.
    pub state: TaskState,
    /// How many leases it has had.
    pub leases: u32,
    /// How many of them were lost or given back.
    pub returned: u32,
    /// How many of those count against the cap.
    pub infra_losses: u32,
    /// When it first became ready.
    pub scheduled_at: Option<i64>,
    /// When it last became ready.
    pub ready_at: Option<i64>,
    /// When its first attempt began.
    pub started_at: Option<i64>,
    /// When its last attempt began.
    pub attempt_started_at: Option<i64>,
    /// When it became terminal.
    pub finished_at: Option<i64>,
    /// When its next attempt is due.
    pub next_at: Option<i64>,
    /// Worker that holds or last held the lease.
    pub worker: Option<Arc<str>>,
    /// The lease, while the task runs: so that a new owner of its shard takes it over.
    pub lease: Option<LeaseKey>,
    /// Why the last attempt did not succeed.
    pub failure: Option<Failure>,
    /// Output as JSON text.
    pub output: Option<Arc<str>>,
}

/// A lease whose worker has not been heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// The lease.
    pub token: LeaseToken,
    /// For how long, in microseconds.
    pub age: i64,
}

/// What a lease is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseKey {
    /// Names the lease in reports and heartbeats.
    pub token: LeaseToken,
    /// The worker's session.
    pub session: SessionId,
}

pub use nexus_service::idempotency::RequestKey;
pub use nexus_storage::outbox::Note;

/// One execution's share of a commit.
#[derive(Debug, Clone)]
pub struct Change {
    /// Number of the newest event that the store has; 0 when the execution is new.
    pub before: u64,
    /// The execution as it is after the change.
    pub execution: ExecutionRow,
    /// The tasks that changed, as they are after it.
    pub tasks: Vec<TaskRow>,
    /// The events since `before`.
    pub events: Vec<Event>,
    /// The idempotency key that a new execution was started with.
    pub request: Option<RequestKey>,
    /// What the audit log is told of it, where somebody asked for it.
    pub notes: Vec<Note>,
}

/// Which executions to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only of this namespace.
    pub namespace: Namespace,
    /// Only of this workflow.
    pub workflow: Option<String>,
    /// Only in this state.
    pub state: Option<ExecutionState>,
    /// Only with these labels.
    pub labels: Vec<(String, String)>,
    /// Only accepted after this time.
    pub created_after: Option<i64>,
    /// Only accepted before this time.
    pub created_before: Option<i64>,
}

/// One line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Position among all lines; given by the store, 0 before.
    pub sequence: u64,
    /// The execution.
    pub execution: ExecutionId,
    /// Position of the task in the plan.
    pub task: u32,
    /// The attempt's number.
    pub attempt: u32,
    /// Number of the line within the attempt.
    pub line: u64,
    /// When the worker read it.
    pub at: i64,
    /// Where it was written, as the contract numbers it.
    pub stream: i32,
    /// The line.
    pub text: String,
}

/// Which log lines to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// The execution.
    pub execution: ExecutionId,
    /// Only of the task at this position.
    pub task: Option<u32>,
    /// Only of this attempt.
    pub attempt: Option<u32>,
    /// Only after this line.
    pub after: u64,
    /// At most this many.
    pub limit: u32,
}

/// How many tasks are in which state.
pub type TaskCounts = Vec<(TaskState, u32)>;

/// How long a task of some revision usually takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TaskDuration {
    /// The revision.
    pub revision: u32,
    /// Position of the task in its plan.
    pub position: u32,
    /// Mean seconds from lease to success.
    pub mean_seconds: f64,
    /// How many successes it is the mean of.
    pub samples: u32,
}

/// The store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else owns the shards now: nothing of the batch was written.
    #[error("the shards belong to another owner now")]
    Fenced,
    /// The store has other events than the writer believes: nothing of the batch was written.
    #[error("execution {execution} has changed in the store")]
    Conflict {
        /// The execution.
        execution: ExecutionId,
    },
    /// The store holds something that no version of NEXUS wrote.
    #[error("the store is inconsistent: {0}")]
    Inconsistent(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] nexus_storage::Error),
}

impl Retriable for StoreError {
    fn is_retriable(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_retriable())
    }
}
