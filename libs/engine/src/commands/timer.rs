//! TimerFired: something waited long enough. A timer whose subject has moved on is ignored.

use crate::attempt::{fail, finish, require_current};
use crate::closing::close;
use crate::command::Rejection;
use crate::decision::Decision;
use crate::effect::{Effect, Timer};
use crate::failure::{Failure, FailureKind};
use crate::key::TaskKey;
use crate::offer::schedule;
use crate::state::{Closing, TaskState};

pub(super) fn fired(decision: &mut Decision<'_>, timer: Timer) -> Result<(), Rejection> {
    if decision.execution.state.is_terminal() {
        return Err(Rejection::Closed);
    }
    match timer {
        Timer::Retry { task, attempt } => retry_due(decision, task, attempt),
        Timer::ScheduleToStart { task, attempt } => no_worker(decision, task, attempt),
        Timer::Total { task } => total(decision, task),
        Timer::Attempt { task, attempt } => attempt_too_long(decision, task, attempt),
        Timer::Execution => execution_too_long(decision),
    }
}

fn retry_due(decision: &mut Decision<'_>, task: TaskKey, attempt: u32) -> Result<(), Rejection> {
    let current = decision.execution.tasks.get(task).ok_or(Rejection::Stale)?;
    let closing = decision.execution.mode().is_closing();
    if current.state != TaskState::Retrying || current.leases != attempt || closing {
        return Err(Rejection::Stale);
    }
    schedule(decision, task);
    Ok(())
}

fn no_worker(decision: &mut Decision<'_>, task: TaskKey, attempt: u32) -> Result<(), Rejection> {
    let current = decision.execution.tasks.get(task).ok_or(Rejection::Stale)?;
    if current.state != TaskState::Scheduled || current.current_attempt() != attempt {
        return Err(Rejection::Stale);
    }
    let queue = &decision.execution.plan.task(task).queue;
    let message = format!("no worker of queue {queue} took the task within schedule_to_start_timeout");
    let failure = Failure {
        non_retryable: true,
        ..Failure::new(FailureKind::Timeout, "ScheduleToStart", message)
    };
    finish(decision, task, TaskState::TimedOut, None, Some(failure));
    Ok(())
}

fn total(decision: &mut Decision<'_>, task: TaskKey) -> Result<(), Rejection> {
    let current = decision.execution.tasks.get(task).ok_or(Rejection::Stale)?;
    if current.state.is_terminal() || current.state == TaskState::Waiting {
        return Err(Rejection::Stale);
    }
    let message = match &current.failure {
        Some(last) => format!("total_timeout is over; the last attempt failed: {}", last.message),
        None => "total_timeout is over".to_owned(),
    };
    let failure = Failure {
        non_retryable: true,
        ..Failure::new(FailureKind::Timeout, "TotalTimeout", message)
    };
    stop_attempt(decision, task, &failure.message);
    finish(decision, task, TaskState::TimedOut, None, Some(failure));
    Ok(())
}

fn attempt_too_long(decision: &mut Decision<'_>, task: TaskKey, attempt: u32) -> Result<(), Rejection> {
    require_current(decision, task, attempt)?;
    let message = "the attempt outlived its timeout and its worker did not stop it";
    stop_attempt(decision, task, message);
    fail(
        decision,
        task,
        attempt,
        Failure::new(FailureKind::Timeout, "Timeout", message),
    );
    Ok(())
}

fn execution_too_long(decision: &mut Decision<'_>) -> Result<(), Rejection> {
    if decision.execution.mode().is_closing() {
        return Err(Rejection::Stale);
    }
    close(decision, Closing::TimedOut, "the workflow's timeout is over".to_owned());
    Ok(())
}

/// Tells the worker that holds the task's lease, if one does, to stop.
fn stop_attempt(decision: &mut Decision<'_>, task: TaskKey, reason: &str) {
    let current = &decision.execution.tasks[task];
    if current.state == TaskState::Running {
        let attempt = current.leases;
        decision.then(Effect::CancelAttempt {
            task,
            attempt,
            reason: reason.to_owned(),
        });
    }
}
