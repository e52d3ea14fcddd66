//! What a store keeps of an execution and of its tasks: everything that cannot be derived. An execution is restored from
//! these ([`crate::Execution::restore`]) and read through them; nobody else changes one.

use std::sync::Arc;

use crate::failure::Failure;
use crate::state::{Closing, ExecutionState, Mode, Output, TaskState};

/// A task, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRecord {
    /// Where it stands.
    pub state: TaskState,
    /// How many leases it has had, lost ones too.
    pub leases: u32,
    /// How many of them were lost or given back, and so spend no attempt.
    pub returned: u32,
    /// How many of those were lost for reasons that count against the cap.
    pub infra_losses: u32,
    /// What it gave.
    pub output: Option<Output>,
    /// Why the last attempt did not succeed.
    pub failure: Option<Failure>,
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
}

impl Default for TaskRecord {
    /// A task that nothing has happened to.
    fn default() -> Self {
        Self {
            state: TaskState::Waiting,
            leases: 0,
            returned: 0,
            infra_losses: 0,
            output: None,
            failure: None,
            scheduled_at: None,
            ready_at: None,
            started_at: None,
            attempt_started_at: None,
            finished_at: None,
            next_at: None,
            worker: None,
        }
    }
}

impl TaskRecord {
    /// Attempts that spend `max_attempts`.
    #[must_use]
    pub fn user_attempts(&self) -> u32 {
        self.leases.saturating_sub(self.returned)
    }

    /// Number of the attempt that is running or waits for a lease.
    #[must_use]
    pub fn current_attempt(&self) -> u32 {
        if self.state == TaskState::Running {
            self.leases
        } else {
            self.leases + 1
        }
    }
}

/// An execution without its tasks, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionRecord {
    /// Where it stands.
    pub state: ExecutionState,
    /// What ends it early, once something does.
    pub closing: Option<Closing>,
    /// Why it is ended early, for people.
    pub closing_reason: String,
    /// Number of the newest event.
    pub sequence: u64,
    /// When it was accepted.
    pub created_at: i64,
    /// When its first task was handed out.
    pub started_at: Option<i64>,
    /// When it became terminal.
    pub finished_at: Option<i64>,
    /// The workflow's output.
    pub output: Option<Output>,
    /// Why it did not succeed.
    pub failure: Option<Failure>,
}

impl ExecutionRecord {
    /// An execution that was accepted at a time, and that nothing has happened to yet.
    #[must_use]
    pub fn accepted(created_at: i64) -> Self {
        Self {
            state: ExecutionState::Pending,
            closing: None,
            closing_reason: String::new(),
            sequence: 0,
            created_at,
            started_at: None,
            finished_at: None,
            output: None,
            failure: None,
        }
    }

    /// Whether anything may start.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match (self.closing, self.state) {
            (Some(_), _) => Mode::Closing,
            (None, ExecutionState::Paused) => Mode::Paused,
            (None, _) => Mode::Open,
        }
    }
}
