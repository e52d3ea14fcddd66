//! Every early end: nothing new is handed out, what runs is told to stop, and once it has stopped the execution is terminal.

use crate::conclusion::finish_if_done;
use crate::decision::Decision;
use crate::effect::Effect;
use crate::event::Fact;
use crate::failure::{Failure, FailureKind};
use crate::key::TaskKey;
use crate::state::{Closing, TaskState};

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

/// Stops the tasks, a slice at a time.
pub(crate) fn sweep(decision: &mut Decision<'_>) {
    let Some(from) = decision.execution.backlog.sweep.take() else {
        return finish_if_done(decision);
    };
    for task in decision.execution.tasks.keys_from(from) {
        if decision.is_full() {
            decision.execution.backlog.sweep = Some(task);
            return decision.go_on_later();
        }
        stop(decision, task);
    }
    finish_if_done(decision);
}

fn stop(decision: &mut Decision<'_>, task: TaskKey) {
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
