//! Lose: the lease of an attempt ended without a result. The worker vanished, was restarted, or gave it back.

use nexus_spec::model::Delivery;

use crate::attempt::{cancelled, finish, give_back, require_current};
use crate::command::Rejection;
use crate::decision::Decision;
use crate::failure::{Failure, FailureKind};
use crate::key::TaskKey;
use crate::planted::{Bug, planted};
use crate::state::TaskState;

/// A task whose workers vanish this often is poison: it ends FAILED instead of taking down the next one.
const MAX_INFRA_LOSSES: u32 = 5;

pub(super) fn lose(
    decision: &mut Decision<'_>,
    task: TaskKey,
    attempt: u32,
    reason: &str,
    counted: bool,
) -> Result<(), Rejection> {
    require_current(decision, task, attempt)?;
    let mut failure = Failure::new(FailureKind::Infrastructure, "WorkerLost", reason);
    let losses = decision.execution.tasks[task].infra_losses + u32::from(counted);
    let plan = decision.execution.plan.task(task);
    if plan.delivery == Delivery::AtMostOnce && !planted(Bug::AtMostOnceRepeated) {
        failure.message =
            format!("{reason}; with `delivery: at_most_once` it is not run again: find out whether it took effect");
        finish(decision, task, TaskState::Unknown, None, Some(failure));
    } else if decision.execution.mode().is_closing() {
        cancelled(decision, task);
    } else if losses >= MAX_INFRA_LOSSES {
        failure.message = format!("{reason}; lost {losses} times, which is the limit");
        finish(decision, task, TaskState::Failed, None, Some(failure));
    } else {
        give_back(decision, task, attempt, reason, counted);
    }
    Ok(())
}
