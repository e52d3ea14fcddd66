//! The pure core of NEXUS: what happens to an execution when something happens to it.
//!
//! [`decide`] takes an [`Execution`], a [`Command`] and the time, and answers with the events that follow and the
//! effects that the caller must bring about once the events are stored. There is no I/O here, no clock, no randomness
//! and no async: the same code runs in the mesh, in `nexus dev`, in simulation and in a dry run.
//!
//! Invariants:
//! - Every change of state is an [`Event`]; [`Execution::apply`] is the only function that changes an execution, so
//!   folding the events from the beginning gives the same execution again.
//! - A rejected command has changed nothing. A change that no table lists is refused, in release builds too; the execution
//!   is broken from then on ([`Rejection::Broken`]), and what is in memory of it must be thrown away.
//! - A decision costs time in the number of tasks that it touches, never in the size of the graph; one that would touch
//!   thousands is cut into slices ([`Effect::Continue`]).

mod attempt;
mod backlog;
mod closing;
mod command;
mod commands;
mod conclusion;
mod decision;
mod effect;
mod event;
mod execution;
mod failure;
mod key;
mod offer;
mod plan;
pub mod planted;
mod progress;
mod record;
mod resume;
mod retry;
mod rules;
mod state;
mod task;
mod transitions;

pub use backlog::{Backlog, SLICE};
pub use command::{Command, Outcome, Rejection};
pub use commands::{attempt_deadline, decide};
pub use conclusion::END_RULE;
pub use decision::Transition;
pub use effect::{Effect, Timer};
pub use event::{Event, EventKind, Fact};
pub use execution::{Execution, Refused};
pub use failure::{Failure, FailureKind};
pub use key::TaskKey;
pub use plan::{Plan, PlanError, TaskPlan};
pub use record::{ExecutionRecord, TaskRecord};
pub use resume::resume;
pub use retry::{LONGEST_ASKED_WAIT, backoff, splitmix};
pub use rules::{Tally, Verdict, judge};
pub use state::{Closing, ExecutionState, Mode, Output, TaskState};
pub use task::{Task, Tasks};
pub use transitions::{EXECUTION_TRANSITIONS, TASK_TRANSITIONS};
