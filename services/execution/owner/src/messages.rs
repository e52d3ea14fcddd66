//! What can be asked of the owner, and what it answers.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use nexus_api::Namespace;
use nexus_engine::{Outcome, Output, Plan, TaskKey};
use nexus_execution_store::{
    ExecutionId, ExecutionRow, LeaseToken, Note, RequestKey, SessionId, StoreError, TaskCounts,
};
use nexus_expr::Scope;
use nexus_streams::Pointer;
use serde_json::Value;
use tokio::sync::oneshot;

/// The owner did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// Too much is live or waits already.
    #[error("{what}")]
    Overloaded {
        /// Too much of what.
        what: &'static str,
        /// When to try again.
        delay: Duration,
    },
    /// The process is about to end.
    #[error("the process is shutting down")]
    ShuttingDown,
    /// The shard is another owner's, or was not this one's all the time. Nothing was done.
    #[error("another replica owns shard {0}")]
    NotOwner(u16),
    /// The shard went to another owner while a change waited to be stored: it may have been stored or not.
    #[error("the shard went to another replica while the change was being stored")]
    OwnerChanged,
    /// The key was used for another request.
    #[error("the request id was used before, with another body")]
    RequestIdReused,
    /// No live execution has that id; it may be a terminal one.
    #[error("execution {0} is not live")]
    NotLive(ExecutionId),
    /// The definitions service gives no revisions at present.
    #[error("the definitions service is unavailable: {0}")]
    Definitions(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An execution that is to be started.
#[derive(Debug)]
pub struct NewExecution {
    /// Its id.
    pub id: ExecutionId,
    /// The namespace that it belongs to.
    pub namespace: Namespace,
    /// What runs.
    pub plan: Arc<Plan>,
    /// Parameters, defaults filled in.
    pub params: Arc<Value>,
    /// The same as JSON text.
    pub params_text: Arc<str>,
    /// Key-value pairs.
    pub labels: BTreeMap<String, String>,
    /// The trace that it is started in.
    pub traceparent: String,
    /// Outputs of tasks that do not run since these hold, as [`nexus_engine::Command::Start`] takes them.
    pub kept: Vec<(TaskKey, Output)>,
    /// The caller's idempotency key.
    pub request: Option<RequestKey>,
    /// What the audit log is told with the start.
    pub note: Option<Note>,
    /// The owner's stay in the shard ([`super::core::Core::stay`]) when the store was asked whether the key was used.
    pub stay: u64,
}

/// An execution was started, now or before.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Its id.
    pub id: ExecutionId,
    /// True when an earlier request with the same key had started it.
    pub existing: bool,
    /// How it began, when it was begun for this very request.
    pub begun: Option<Box<Begun>>,
}

/// An execution right after its start, which spares whoever started it a look into the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Begun {
    /// Its row.
    pub row: ExecutionRow,
    /// How many of its tasks are in which state.
    pub counts: TaskCounts,
}

/// Who leases.
#[derive(Debug, Clone)]
pub struct SessionRef {
    /// The session.
    pub session: SessionId,
    /// The worker's name.
    pub worker: Arc<str>,
    /// Queues that it takes tasks from, by the names that plans have: those of its namespace and of no other.
    pub queues: Arc<[String]>,
    /// Grows each time the session goes on at another replica; 0 where it began.
    pub generation: u64,
}

/// A lease with everything that is needed to make a task of it.
#[derive(Debug)]
pub struct Granted {
    /// Names the lease.
    pub token: LeaseToken,
    /// The execution.
    pub execution: ExecutionId,
    /// What runs.
    pub plan: Arc<Plan>,
    /// Position of the task in the plan.
    pub task: TaskKey,
    /// The attempt's number.
    pub attempt: u32,
    /// Its number among those that spend `max_attempts`.
    pub user_attempt: u32,
    /// What the task's expressions can see.
    pub scope: Scope,
    /// The trace that the execution was started in.
    pub traceparent: String,
    /// When the lease ends unless it is extended, in microseconds since the epoch.
    pub expires_at: i64,
}

/// An output that is to be kept, with what its key is made of.
#[derive(Debug)]
pub struct Cacheable {
    /// What ran.
    pub plan: Arc<Plan>,
    /// Position of the task in the plan.
    pub task: TaskKey,
    /// What the task's expressions saw.
    pub scope: Scope,
    /// The output.
    pub output: Output,
}

/// What became of a request for leases.
#[derive(Debug, Default)]
pub struct Grants {
    /// The leases. What was asked for and stands in neither list is not current any more.
    pub granted: Vec<Granted>,
    /// Attempts in shards of other owners, who have to be asked.
    pub foreign: Vec<Pointer>,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// It was recorded.
    Recorded,
    /// Its lease was no longer current; nothing changed.
    Stale,
    /// Its shard is another owner's, who has to be told.
    NotOwner,
}

/// What became of reports.
#[derive(Debug, Default)]
pub struct Reported {
    /// What became of each.
    pub accepted: Vec<Acceptance>,
    /// Leases of tasks that the reports freed.
    pub granted: Vec<Granted>,
    /// Outputs that are to be kept for tasks with the same input.
    pub cacheable: Vec<Cacheable>,
}

/// What a worker should do with an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on; the lease ends then.
    Continue(i64),
    /// Stop it and say so.
    Cancel(String),
    /// The lease is over: stop it and say nothing.
    Lost,
    /// This owner cannot say.
    Unknown,
}

/// Tokens of the leases that have reached a worker.
pub type Received = Arc<HashSet<LeaseToken>>;

/// What is known of a lease, for its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// It is current.
    Current(TokenSubject),
    /// It is over, or its log has no room.
    Over,
    /// Its shard is another owner's, who has to be asked.
    NotOwner,
}

/// What a lease is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSubject {
    /// The execution.
    pub execution: ExecutionId,
    /// Position of the task in the plan.
    pub task: TaskKey,
    /// The attempt's number.
    pub attempt: u32,
}

/// What is asked of the owner.
pub enum Message {
    /// Start an execution; answered once it is stored.
    Start {
        /// Which.
        new: Box<NewExecution>,
        /// Who waits.
        reply: oneshot::Sender<Result<Started, OwnerError>>,
    },
    /// Cancel an execution; answered once that is stored.
    Cancel {
        /// Which.
        id: ExecutionId,
        /// Why, for people.
        reason: String,
        /// What the audit log is told with it.
        note: Option<Note>,
        /// Who waits.
        reply: oneshot::Sender<Result<(), OwnerError>>,
    },
    /// Lease attempts; those that are no longer current are left out.
    Grant {
        /// Which.
        pointers: Vec<Pointer>,
        /// To whom.
        session: SessionRef,
        /// Who waits.
        reply: oneshot::Sender<Grants>,
    },
    /// Record how attempts ended; answered once that is stored.
    Report {
        /// Leases and how they ended.
        reports: Vec<(LeaseToken, Outcome)>,
        /// Who reports.
        session: SessionRef,
        /// How many more tasks the worker can take at once.
        free_slots: u32,
        /// Who waits.
        reply: oneshot::Sender<Reported>,
    },
    /// Extend leases.
    Heartbeat {
        /// The worker's session.
        session: SessionId,
        /// The session's generation where the worker is connected.
        generation: u64,
        /// Which.
        tokens: Vec<LeaseToken>,
        /// Who waits.
        reply: oneshot::Sender<Vec<Verdict>>,
    },
    /// What some leases are about, for logs: each with the number of bytes that are to be written.
    Subjects {
        /// The worker's session.
        session: SessionId,
        /// Which.
        tokens: Vec<(LeaseToken, u64)>,
        /// Who waits.
        reply: oneshot::Sender<Vec<Subject>>,
    },
    /// Give out again what a session held, unless a later generation of it is known.
    SessionClosed {
        /// The session.
        session: SessionId,
        /// The generation that is over.
        generation: u64,
        /// Why, for people.
        reason: String,
    },
    /// A session that may have been closed goes on, here or at another replica.
    SessionLives {
        /// The session.
        session: SessionId,
        /// The generation that began.
        generation: u64,
        /// The leases that have reached its worker, if the worker said which: what it was given in earlier generations
        /// and does not name was lost on the way.
        received: Option<Received>,
    },
}
