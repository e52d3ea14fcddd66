//! Cancel, and every other early end: nothing new is handed out, what runs is told to stop, and once it has stopped
//! the execution is terminal.

use super::{Decision, Rejection};
use crate::effect::Effect;
use crate::event::Fact;
use crate::failure::{Failure, FailureKind};
use crate::progress;
use crate::state::{Closing, TaskState};

pub(super) fn cancel(decision: &mut Decision<'_>, reason: String) -> Result<(), Rejection> {
    if decision.execution.state.is_terminal() {
        return Err(Rejection::Closed);
    }
    // Cancelling twice is no error and changes nothing.
    if decision.execution.closing.is_none() {
        let reason = if reason.is_empty() {
            "cancelled".to_owned()
        } else {
            reason
        };
        close(decision, Closing::Cancelled, reason);
    }
    Ok(())
}

/// Begins an early end.
pub(crate) fn close(decision: &mut Decision<'_>, closing: Closing, reason: String) {
    decision.record(Fact::ExecutionCancelling {
        closing,
        reason: reason.clone(),
    });
    for task in 0..u32::try_from(decision.execution.tasks.len()).unwrap_or(u32::MAX) {
        let current = &decision.execution.tasks[task as usize];
        let attempt = current.leases;
        match current.state {
            TaskState::Running => {
                decision.then(Effect::CancelAttempt {
                    task,
                    attempt,
                    reason: reason.clone(),
                });
            }
            state if !state.is_terminal() => {
                let failure = Some(Failure::new(FailureKind::Cancelled, "Cancelled", reason.clone()));
                let state = TaskState::Cancelled;
                decision.record(Fact::TaskFinished {
                    task,
                    attempt,
                    state,
                    output: None,
                    failure,
                });
            }
            _ => {}
        }
    }
    progress::finish_if_done(decision);
}
