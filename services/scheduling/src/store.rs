//! The storage port: what the scheduling service asks of a database. Whatever belongs together happens in one [`Work`], a
//! transaction; rows of schedules that it locks are nobody else's until it ends.

pub mod postgres;
pub mod rows;
pub mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_storage::outbox::{Note, Outbox};
use nexus_storage::retry::Retriable;

pub use rows::{
    BackfillRow, BackfillState, Catchup, Definition, FireKey, FireRow, Outcome, Overlap, Reading, ScheduleRow,
};

/// The store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store holds something that no version of NEXUS wrote.
    #[error("the store is inconsistent: {0}")]
    Inconsistent(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] nexus_storage::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl Retriable for StoreError {
    fn is_retriable(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_retriable())
    }
}

/// A result of the store.
pub type Stored<T> = Result<T, StoreError>;

/// Which schedules to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only those whose name contains this.
    pub name_part: Option<String>,
    /// Only those that start this workflow.
    pub workflow: Option<String>,
    /// Only those of this workflow's file.
    pub owner: Option<String>,
    /// Only those that are paused, or not.
    pub paused: Option<bool>,
}

/// An execution that is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// What for.
    pub fire: FireRow,
    /// Of which schedule; none when it is gone.
    pub schedule: Option<ScheduleRow>,
}

/// What the service asks of a database.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Begins a transaction.
    async fn begin(&self) -> Stored<Box<dyn Work>>;

    /// The time, as all replicas have it.
    async fn now(&self) -> Stored<i64>;

    /// A schedule by its name.
    async fn schedule(&self, namespace: &Namespace, name: &str) -> Stored<Option<ScheduleRow>>;

    /// A page of schedules by name, those after `after`.
    async fn list(
        &self,
        namespace: &Namespace,
        filter: &ListFilter,
        after: &str,
        limit: u32,
    ) -> Stored<Vec<ScheduleRow>>;

    /// Whether there is any schedule, in whatever namespace.
    async fn has_schedules(&self) -> Stored<bool>;

    /// A page of a schedule's fires, the last decided first, those before a position (all when 0).
    async fn fires(&self, schedule_id: &str, before: i64, limit: u32) -> Stored<Vec<FireRow>>;

    /// The newest actions of a schedule.
    async fn actions(&self, schedule_id: &str, limit: u32) -> Stored<Vec<FireRow>>;

    /// Executions of a schedule that run.
    async fn running(&self, schedule_id: &str, limit: u32) -> Stored<Vec<String>>;

    /// The fire of a source that has only one, a trigger.
    async fn triggered(&self, schedule_id: &str, source: &str) -> Stored<Option<FireRow>>;

    /// When the next schedule is due, and how many are already.
    async fn next_due(&self) -> Stored<Option<i64>>;

    /// Takes fires that are to be started, for so long; nobody else gets them meanwhile.
    async fn claim_starts(&self, limit: u32, lease: i64) -> Stored<Vec<Start>>;

    /// Takes fires whose execution is to be cancelled, in the same way.
    async fn claim_cancels(&self, limit: u32, lease: i64) -> Stored<Vec<Start>>;

    /// Takes fires whose execution has run for a while, in the same way, to see whether it still does.
    async fn claim_unseen(&self, limit: u32, lease: i64) -> Stored<Vec<Start>>;

    /// What an idempotency key made, and the fingerprint of that request.
    async fn request(&self, key: &str) -> Stored<Option<(String, String)>>;

    /// One backfill.
    async fn backfill(&self, id: &str) -> Stored<Option<BackfillRow>>;

    /// A page of backfills, newest first, those before `before` (all when empty).
    async fn backfills(
        &self,
        namespace: &Namespace,
        schedule_key: Option<&str>,
        before: &str,
        limit: u32,
    ) -> Stored<Vec<BackfillRow>>;

    /// Lets somebody read the feed until a while from now; how far it was read, or nothing when somebody else reads.
    async fn take_reading(&self, holder: &str, lease: i64) -> Stored<Option<Reading>>;

    /// Removes some fires that ended before a time, and those of schedules that are gone. How many.
    async fn sweep(&self, before: i64, limit: u32) -> Stored<u64>;

    /// Where notes for the audit log wait.
    fn outbox(&self) -> Arc<dyn Outbox>;
}

/// A transaction. Dropped without a commit it has done nothing.
#[async_trait]
pub trait Work: Send {
    /// The time, as all replicas have it.
    async fn now(&mut self) -> Stored<i64>;

    /// Locks schedules that are due and that nobody else has locked.
    async fn lock_due(&mut self, now: i64, limit: u32) -> Stored<Vec<ScheduleRow>>;

    /// Locks schedules by their ids; in one order, so that nobody waits in a circle.
    async fn lock(&mut self, ids: &[String]) -> Stored<Vec<ScheduleRow>>;

    /// Locks a schedule by its name.
    async fn lock_named(&mut self, namespace: &Namespace, name: &str) -> Stored<Option<ScheduleRow>>;

    /// The schedules of a workflow's file, locked.
    async fn lock_owned(&mut self, namespace: &Namespace, owner: &str) -> Stored<Vec<ScheduleRow>>;

    /// Writes a schedule that is new; false when its name is taken.
    async fn insert(&mut self, schedule: &ScheduleRow) -> Stored<bool>;

    /// Writes schedules that are locked.
    async fn update(&mut self, schedules: &[ScheduleRow]) -> Stored<()>;

    /// Deletes a schedule that is locked.
    async fn delete(&mut self, id: &str) -> Stored<()>;

    /// Fires by their keys.
    async fn fires(&mut self, keys: &[FireKey]) -> Stored<Vec<FireRow>>;

    /// Writes fires: those that are there are replaced.
    async fn put_fires(&mut self, fires: &[FireRow]) -> Stored<()>;

    /// The first fire that waits, of each of some schedules.
    async fn first_buffered(&mut self, ids: &[String]) -> Stored<Vec<FireRow>>;

    /// All fires that wait, of some schedules.
    async fn buffered(&mut self, ids: &[String]) -> Stored<Vec<FireRow>>;

    /// Has the executions of some schedules cancelled that run.
    async fn cancel_running(&mut self, ids: &[String], now: i64) -> Stored<()>;

    /// Remembers what a request made; false when another with its id was faster.
    async fn put_request(&mut self, key: &str, fingerprint: &str, made: &str, at: i64) -> Stored<bool>;

    /// Locks backfills that go on and have room, and that nobody else has locked.
    async fn lock_backfills(&mut self, limit: u32) -> Stored<Vec<BackfillRow>>;

    /// Locks backfills by their ids, in one order.
    async fn lock_backfills_of(&mut self, ids: &[String]) -> Stored<Vec<BackfillRow>>;

    /// Writes backfills.
    async fn put_backfills(&mut self, backfills: &[BackfillRow]) -> Stored<()>;

    /// Notes how far the feed was read.
    async fn put_reading(&mut self, reading: &Reading) -> Stored<()>;

    /// Writes what the audit log is told.
    async fn tell(&mut self, note: &Note) -> Stored<()>;

    /// Makes all of it be the case.
    async fn commit(self: Box<Self>) -> Stored<()>;
}
