//! The facts of an execution's history. History only grows, and state is its fold.

use std::sync::Arc;

use crate::failure::Failure;
use crate::key::TaskKey;
use crate::state::{Closing, ExecutionState, Output, TaskState};

/// One fact, numbered and dated.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// From 1 within the execution, without gaps.
    pub sequence: u64,
    /// When it was decided, in microseconds since the epoch.
    pub at: i64,
    /// What happened.
    pub fact: Fact,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// The execution was accepted.
    ExecutionCreated,
    /// Its first task was handed out.
    ExecutionStarted,
    /// It is being brought to an early end.
    ExecutionCancelling {
        /// What ends it, and so which state it will end in.
        closing: Closing,
        /// Why, for people.
        reason: String,
    },
    /// It is terminal.
    ExecutionFinished {
        /// The terminal state.
        state: ExecutionState,
        /// The workflow's output.
        output: Option<Output>,
        /// Why it did not succeed.
        failure: Option<Failure>,
        /// By which rule it was concluded: [`crate::END_RULE`], or 1 where an earlier version concluded it.
        rule: u32,
    },
    /// A task is ready for a worker.
    TaskScheduled {
        /// Which task.
        task: TaskKey,
        /// Number of the attempt that a lease would begin.
        attempt: u32,
    },
    /// A worker was given the task's lease.
    TaskStarted {
        /// Which task.
        task: TaskKey,
        /// The attempt's number.
        attempt: u32,
        /// The worker's name.
        worker: Arc<str>,
    },
    /// An attempt failed and another will follow.
    TaskRetrying {
        /// Which task.
        task: TaskKey,
        /// Number of the attempt that failed.
        attempt: u32,
        /// Why it failed.
        failure: Failure,
        /// When the next one is due.
        next_at: i64,
    },
    /// The attempt was lost with its worker, or given back; the task is ready again.
    TaskLost {
        /// Which task.
        task: TaskKey,
        /// Number of the attempt that was lost.
        attempt: u32,
        /// How it was lost.
        failure: Failure,
        /// Whether it counts against the cap of infrastructure losses.
        counted: bool,
    },
    /// A task is terminal.
    TaskFinished {
        /// Which task.
        task: TaskKey,
        /// Number of its last attempt; 0 when it had none.
        attempt: u32,
        /// The terminal state.
        state: TaskState,
        /// What it gave.
        output: Option<Output>,
        /// Why it did not succeed.
        failure: Option<Failure>,
    },
}

/// A fact's kind, for the tables of transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum EventKind {
    ExecutionCreated,
    ExecutionStarted,
    ExecutionCancelling,
    ExecutionFinished,
    TaskScheduled,
    TaskStarted,
    TaskRetrying,
    TaskLost,
    TaskFinished,
}

impl EventKind {
    /// Every one of them.
    pub const ALL: [Self; 9] = [
        Self::ExecutionCreated,
        Self::ExecutionStarted,
        Self::ExecutionCancelling,
        Self::ExecutionFinished,
        Self::TaskScheduled,
        Self::TaskStarted,
        Self::TaskRetrying,
        Self::TaskLost,
        Self::TaskFinished,
    ];
}

impl Fact {
    /// The fact's kind.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::ExecutionCreated => EventKind::ExecutionCreated,
            Self::ExecutionStarted => EventKind::ExecutionStarted,
            Self::ExecutionCancelling { .. } => EventKind::ExecutionCancelling,
            Self::ExecutionFinished { .. } => EventKind::ExecutionFinished,
            Self::TaskScheduled { .. } => EventKind::TaskScheduled,
            Self::TaskStarted { .. } => EventKind::TaskStarted,
            Self::TaskRetrying { .. } => EventKind::TaskRetrying,
            Self::TaskLost { .. } => EventKind::TaskLost,
            Self::TaskFinished { .. } => EventKind::TaskFinished,
        }
    }

    /// Which task the fact is about.
    #[must_use]
    pub fn task(&self) -> Option<TaskKey> {
        match self {
            Self::TaskScheduled { task, .. }
            | Self::TaskStarted { task, .. }
            | Self::TaskRetrying { task, .. }
            | Self::TaskLost { task, .. }
            | Self::TaskFinished { task, .. } => Some(*task),
            _ => None,
        }
    }
}
