//! Report: a worker says how an attempt ended.

use super::{Decision, Outcome, Rejection, lose};
use crate::effect::{Effect, Timer};
use crate::event::Fact;
use crate::execution::Execution;
use crate::failure::{Failure, FailureKind};
use crate::key::TaskKey;
use crate::progress;
use crate::retry::{LONGEST_ASKED_WAIT, backoff, may_retry, splitmix};
use crate::state::{Output, TaskState};

pub(super) fn report(
    decision: &mut Decision<'_>,
    task: TaskKey,
    attempt: u32,
    outcome: Outcome,
) -> Result<(), Rejection> {
    require_current(decision, task, attempt)?;
    match outcome {
        Outcome::Succeeded(output) => finish(decision, task, TaskState::Succeeded, Some(output), None),
        Outcome::Cached(output) => finish(decision, task, TaskState::Cached, Some(output), None),
        Outcome::Failed(failure) if failure.kind == FailureKind::Infrastructure => {
            return lose::lose(decision, task, attempt, &failure.message, true);
        }
        Outcome::Failed(failure) => fail(decision, task, attempt, failure),
        Outcome::Cancelled if decision.execution.mode().is_closing() => {
            let reason = decision.execution.closing_reason.clone();
            let failure = Failure::new(FailureKind::Cancelled, "Cancelled", reason);
            finish(decision, task, TaskState::Cancelled, None, Some(failure));
        }
        // Nobody told it to stop: a worker that stops by itself has failed.
        Outcome::Cancelled => {
            let failure = Failure::new(
                FailureKind::User,
                "Cancelled",
                "the worker stopped the attempt by itself",
            );
            fail(decision, task, attempt, failure);
        }
        // What has not begun cannot have taken effect, so it may go to somebody else whatever its delivery.
        Outcome::Released {
            reason,
            not_started: true,
        } => lose::give_back(decision, task, attempt, &reason, false),
        Outcome::Released { reason, .. } => return lose::lose(decision, task, attempt, &reason, false),
    }
    Ok(())
}

/// Refuses attempts that are not the one that runs.
pub(super) fn require_current(decision: &Decision<'_>, task: TaskKey, attempt: u32) -> Result<(), Rejection> {
    match decision.execution.tasks.get(task) {
        Some(current) if current.state == TaskState::Running && current.leases == attempt => Ok(()),
        _ => Err(Rejection::Stale),
    }
}

/// An attempt failed: try again, or be done with the task.
pub(super) fn fail(decision: &mut Decision<'_>, task: TaskKey, attempt: u32, failure: Failure) {
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
pub(super) fn wait(execution: &Execution, task: TaskKey, failure: Option<&Failure>) -> i64 {
    let policy = &execution.plan.task(task).retry;
    let made = execution.tasks[task].user_attempts();
    let seed = splitmix(execution.seed ^ (u64::from(task.index) << 32 | u64::from(task.node)));
    // Bounded here too: failures that were stored before there was a bound still wait.
    let asked = failure.and_then(|failure| failure.next_retry_delay);
    let asked = asked.map(|asked| asked.clamp(0, LONGEST_ASKED_WAIT));
    asked.unwrap_or_else(|| backoff(policy, made, seed))
}

/// Ends a task and lets the tasks that need it go on.
pub(super) fn finish(
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
