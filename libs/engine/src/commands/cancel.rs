//! Cancel, and every other early end: nothing new is handed out, what runs is told to stop, and once it has stopped
//! the execution is terminal.

use super::{Decision, Rejection};
use crate::effect::Effect;
use crate::event::Fact;
use crate::failure::{Failure, FailureKind};
use crate::key::TaskKey;
use crate::progress;
use crate::state::{Closing, TaskState};

pub(super) fn cancel(decision: &mut Decision<'_>, reason: String) -> Result<(), Rejection> {
    if decision.execution.state.is_terminal() {
        return Err(Rejection::Closed);
    }
    // Cancelling twice is no error and changes nothing.
    if !decision.execution.mode().is_closing() {
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
    decision.record(Fact::ExecutionCancelling { closing, reason });
    let backlog = &mut decision.execution.backlog;
    backlog.judge.clear();
    backlog.sweep = Some(TaskKey::of(0));
    if !backlog.continued {
        sweep(decision);
    }
}

/// Tells the tasks of the early end, a slice at a time.
pub(super) fn sweep(decision: &mut Decision<'_>) {
    let Some(from) = decision.execution.backlog.sweep.take() else {
        return progress::finish_if_done(decision);
    };
    for task in decision.execution.tasks.keys_from(from) {
        if decision.is_full() {
            decision.execution.backlog.sweep = Some(task);
            return decision.go_on_later();
        }
        tell(decision, task);
    }
    progress::finish_if_done(decision);
}

fn tell(decision: &mut Decision<'_>, task: TaskKey) {
    let current = &decision.execution.tasks[task];
    let attempt = current.leases;
    let reason = decision.execution.closing_reason.clone();
    match current.state {
        TaskState::Running => decision.then(Effect::CancelAttempt { task, attempt, reason }),
        state if !state.is_terminal() => decision.record(Fact::TaskFinished {
            task,
            attempt,
            state: TaskState::Cancelled,
            output: None,
            failure: Some(Failure::new(FailureKind::Cancelled, "Cancelled", reason)),
        }),
        _ => {}
    }
}
