//! Lose: the lease of an attempt ended without a result. The worker vanished, was restarted, or gave it back.

use nexus_spec::model::Delivery;

use super::{Decision, Rejection, report};
use crate::event::Fact;
use crate::failure::{Failure, FailureKind};
use crate::key::TaskKey;
use crate::planted::{Bug, planted};
use crate::progress;
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
    report::require_current(decision, task, attempt)?;
    let mut failure = Failure::new(FailureKind::Infrastructure, "WorkerLost", reason);
    let losses = decision.execution.tasks[task].infra_losses + u32::from(counted);
    let plan = decision.execution.plan.task(task);
    if plan.delivery == Delivery::AtMostOnce && !planted(Bug::AtMostOnceRepeated) {
        failure.message =
            format!("{reason}; with `delivery: at_most_once` it is not run again: find out whether it took effect");
        report::finish(decision, task, TaskState::Unknown, None, Some(failure));
    } else if decision.execution.mode().is_closing() {
        cancelled(decision, task);
    } else if losses >= MAX_INFRA_LOSSES {
        failure.message = format!("{reason}; lost {losses} times, which is the limit");
        report::finish(decision, task, TaskState::Failed, None, Some(failure));
    } else {
        give_back(decision, task, attempt, reason, counted);
    }
    Ok(())
}

/// Makes the task ready again; while the execution is being ended, ends it.
pub(super) fn give_back(decision: &mut Decision<'_>, task: TaskKey, attempt: u32, reason: &str, counted: bool) {
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
    let offers = progress::offer(decision.execution, task);
    decision.transition.effects.extend(offers);
}

fn cancelled(decision: &mut Decision<'_>, task: TaskKey) {
    let reason = decision.execution.closing_reason.clone();
    let failure = Failure::new(FailureKind::Cancelled, "Cancelled", reason);
    report::finish(decision, task, TaskState::Cancelled, None, Some(failure));
}
