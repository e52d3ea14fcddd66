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

use crate::command::{Command, Rejection};
use crate::decision::{Decision, Transition};
use crate::execution::Execution;

pub use grant::attempt_deadline;

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
