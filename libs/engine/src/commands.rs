//! What can happen to an execution. One file a command; this one only dispatches.

mod cancel;
mod carry_on;
mod grant;
mod lose;
mod report;
mod start;
mod timer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::effect::{Effect, Timer};
use crate::event::{Event, Fact};
use crate::execution::Execution;
use crate::failure::Failure;
use crate::key::TaskKey;
use crate::planted::{Bug, planted};
use crate::state::Output;

pub(crate) use cancel::close;
pub use grant::attempt_deadline;

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

/// What follows from a command.
#[derive(Debug, Default)]
pub struct Transition {
    /// What happened, already applied to the execution.
    pub events: Vec<Event>,
    /// What to bring about once the events are stored.
    pub effects: Vec<Effect>,
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

/// An execution under decision: collects events (applying each at once) and effects.
pub(crate) struct Decision<'a> {
    pub(crate) execution: &'a mut Execution,
    pub(crate) now: i64,
    pub(crate) transition: Transition,
}

impl Decision<'_> {
    /// Records a fact and applies it, unless something was refused already.
    pub(crate) fn record(&mut self, fact: Fact) {
        if self.execution.broken().is_some() {
            return;
        }
        let event = Event {
            sequence: self.execution.sequence + 1,
            at: self.now,
            fact,
        };
        match self.execution.apply(&event) {
            Ok(()) => self.transition.events.push(event),
            Err(refused) => self.execution.break_off(refused),
        }
    }

    /// Adds an effect.
    pub(crate) fn then(&mut self, effect: Effect) {
        self.transition.effects.push(effect);
    }

    /// Whether the decision is large enough; the rest is for the next one.
    pub(crate) fn is_full(&self) -> bool {
        self.transition.events.len().max(self.transition.effects.len()) >= self.execution.slice
    }

    /// Leaves the rest to the next decision.
    pub(crate) fn go_on_later(&mut self) {
        self.execution.backlog.continued = true;
        if !planted(Bug::ContinueForgotten) {
            self.then(Effect::Continue);
        }
    }
}

/// Decides what follows from a command at a time (microseconds since the epoch), and applies it.
///
/// # Errors
/// When the command does not fit the state; then nothing has changed.
pub fn decide(execution: &mut Execution, command: Command, now: i64) -> Result<Transition, Rejection> {
    if execution.broken().is_some() {
        return Err(Rejection::Broken);
    }
    let mut decision = Decision {
        execution,
        now,
        transition: Transition::default(),
    };
    match command {
        Command::Start { kept } => start::start(&mut decision, kept)?,
        Command::Grant { task, attempt, worker } => grant::grant(&mut decision, task, attempt, worker)?,
        Command::Report { task, attempt, outcome } => report::report(&mut decision, task, attempt, outcome)?,
        Command::Lose {
            task,
            attempt,
            reason,
            counted,
        } => {
            lose::lose(&mut decision, task, attempt, &reason, counted)?;
        }
        Command::TimerFired(timer) => timer::fired(&mut decision, timer)?,
        Command::Continue => carry_on::carry_on(&mut decision)?,
        Command::Cancel { reason } => cancel::cancel(&mut decision, reason)?,
    }
    match decision.execution.broken() {
        Some(_) => Err(Rejection::Broken),
        None => Ok(decision.transition),
    }
}

/// The effects that an execution is owed after its state was loaded from a store: dispatches of what is ready and
/// timers of what waits. Nothing is owed for attempts that run: their leases are taken over, or end with [`Command::Lose`].
///
/// No wait is longer than the workflow asks for, counted from `now`: if the clock was set back since, a retry that was
/// due in a second must not be due in an hour.
#[must_use]
pub fn resume(execution: &Execution, now: i64) -> Vec<Effect> {
    let mut effects = start::owed(execution);
    for effect in &mut effects {
        if let Effect::SetTimer { timer, at } = effect {
            *at = (*at).min(now.saturating_add(start::longest_wait(execution, *timer)));
        }
    }
    effects
}
