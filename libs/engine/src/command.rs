//! What can happen to an execution, and how it is refused.

use std::sync::Arc;

use crate::effect::Timer;
use crate::failure::Failure;
use crate::key::TaskKey;
use crate::state::Output;

/// Something that happens to an execution.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// It begins. The first command of every execution.
    Start {
        /// Outputs of tasks that do not run, since those of another execution of the same inputs hold. Whoever starts it
        /// has made sure of that. Tasks that the execution does not have are left out.
        kept: Vec<(TaskKey, Output)>,
    },
    /// A worker is to get the lease of an attempt.
    Grant {
        /// Which task.
        task: TaskKey,
        /// The attempt that was dispatched.
        attempt: u32,
        /// The worker's name.
        worker: Arc<str>,
    },
    /// A worker says how an attempt ended.
    Report {
        /// Which task.
        task: TaskKey,
        /// The attempt's number.
        attempt: u32,
        /// How it ended.
        outcome: Outcome,
    },
    /// The lease of an attempt ended without a report.
    Lose {
        /// Which task.
        task: TaskKey,
        /// The attempt's number.
        attempt: u32,
        /// How it was lost, for people.
        reason: String,
        /// Whether it counts against the cap of infrastructure losses.
        counted: bool,
    },
    /// A timer that an effect set is due.
    TimerFired(Timer),
    /// The rest of a decision that was cut is due.
    Continue,
    /// Somebody cancels the execution.
    Cancel {
        /// Why, for people.
        reason: String,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Well.
    Succeeded(Output),
    /// It did not run: an output of before, made from the same input, was kept.
    Cached(Output),
    /// Badly.
    Failed(Failure),
    /// It was stopped because it was told to stop.
    Cancelled,
    /// The worker gives it back unfinished.
    Released {
        /// Why, for people.
        reason: String,
        /// Nothing of the task has run.
        not_started: bool,
    },
}

/// Why a command was refused. Nothing has changed, except for [`Rejection::Broken`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The attempt is not the current one.
    #[error("the attempt is no longer current")]
    Stale,
    /// The execution is terminal.
    #[error("the execution is terminal")]
    Closed,
    /// The execution has begun already.
    #[error("the execution has begun already")]
    AlreadyStarted,
    /// The command led to a change that is not allowed, now or before: a bug. What is in memory may be half changed and
    /// must be thrown away; [`Execution::broken`] says which change it was.
    #[error("a change was refused that no transition allows")]
    Broken,
}
