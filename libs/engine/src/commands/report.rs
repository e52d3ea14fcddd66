//! Report: a worker says how an attempt ended.

use super::lose::lose;
use crate::attempt::{cancelled, fail, finish, give_back, require_current};
use crate::command::{Outcome, Rejection};
use crate::decision::Decision;
use crate::failure::{Failure, FailureKind};
use crate::key::TaskKey;
use crate::state::TaskState;

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
            return lose(decision, task, attempt, &failure.message, true);
        }
        Outcome::Failed(failure) => fail(decision, task, attempt, failure),
        Outcome::Cancelled if decision.execution.mode().is_closing() => cancelled(decision, task),
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
        } => give_back(decision, task, attempt, &reason, false),
        Outcome::Released { reason, .. } => return lose(decision, task, attempt, &reason, false),
    }
    Ok(())
}
