//! How an attempt ends, whatever ended it: with its task, with a retry, or given back.

use crate::command::Rejection;
use crate::decision::Decision;
use crate::effect::{Effect, Timer};
use crate::event::Fact;
use crate::execution::Execution;
use crate::failure::{Failure, FailureKind};
use crate::key::TaskKey;
use crate::offer::offer;
use crate::progress;
use crate::retry::{LONGEST_ASKED_WAIT, backoff, may_retry, splitmix};
use crate::state::{Output, TaskState};

/// Refuses attempts that are not the one that runs.
pub(crate) fn require_current(decision: &Decision<'_>, task: TaskKey, attempt: u32) -> Result<(), Rejection> {
    match decision.execution.tasks.get(task) {
        Some(current) if current.state == TaskState::Running && current.leases == attempt => Ok(()),
        _ => Err(Rejection::Stale),
    }
}

/// An attempt failed: try again, or be done with the task.
pub(crate) fn fail(decision: &mut Decision<'_>, task: TaskKey, attempt: u32, failure: Failure) {
    let plan = decision.execution.plan.task(task);
    let current = &decision.execution.tasks[task];
    let made = current.user_attempts();
    let in_time = |next_at: i64| match (plan.total, current.scheduled_at) {
        (Some(total), Some(scheduled_at)) => next_at < scheduled_at.saturating_add(total.micros()),
        _ => true,
    };
    if !decision.execution.mode().is_closing() && may_retry(&plan.retry, made, &failure) {
        let wait = wait(decision.execution, task, Some(&failure));
        let next_at = decision.now.saturating_add(wait);
        if in_time(next_at) {
            decision.record(Fact::TaskRetrying {
                task,
                attempt,
                failure,
                next_at,
            });
            decision.then(Effect::SetTimer {
                timer: Timer::Retry { task, attempt },
                at: next_at,
            });
            return;
        }
    }
    let state = match failure.kind {
        FailureKind::Timeout => TaskState::TimedOut,
        FailureKind::User | FailureKind::Infrastructure | FailureKind::Cancelled => TaskState::Failed,
    };
    finish(decision, task, state, None, Some(failure));
}

/// The wait between the last attempt of a task, which failed, and the next one.
pub(crate) fn wait(execution: &Execution, task: TaskKey, failure: Option<&Failure>) -> i64 {
    let policy = &execution.plan.task(task).retry;
    let made = execution.tasks[task].user_attempts();
    let seed = splitmix(execution.seed ^ (u64::from(task.index) << 32 | u64::from(task.node)));
    // Bounded here too: failures that were stored before there was a bound still wait.
    let asked = failure.and_then(|failure| failure.next_retry_delay);
    let asked = asked.map(|asked| asked.clamp(0, LONGEST_ASKED_WAIT));
    asked.unwrap_or_else(|| backoff(policy, made, seed))
}

/// Ends a task and lets the tasks that need it go on.
pub(crate) fn finish(
    decision: &mut Decision<'_>,
    task: TaskKey,
    state: TaskState,
    output: Option<Output>,
    failure: Option<Failure>,
) {
    let attempt = decision.execution.tasks[task].leases;
    decision.record(Fact::TaskFinished {
        task,
        attempt,
        state,
        output,
        failure,
    });
    progress::after(decision, task);
}

/// Makes the task ready again; while the execution is being ended, ends it.
pub(crate) fn give_back(decision: &mut Decision<'_>, task: TaskKey, attempt: u32, reason: &str, counted: bool) {
    if decision.execution.mode().is_closing() {
        return cancelled(decision, task);
    }
    let failure = Failure::new(FailureKind::Infrastructure, "WorkerLost", reason);
    decision.record(Fact::TaskLost {
        task,
        attempt,
        failure,
        counted,
    });
    let offers = offer(decision.execution, task);
    decision.transition.effects.extend(offers);
}

/// Ends a task whose execution is being ended.
pub(crate) fn cancelled(decision: &mut Decision<'_>, task: TaskKey) {
    let reason = decision.execution.closing_reason.clone();
    let failure = Failure::new(FailureKind::Cancelled, "Cancelled", reason);
    finish(decision, task, TaskState::Cancelled, None, Some(failure));
}
