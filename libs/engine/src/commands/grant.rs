//! Grant: a worker gets the lease of an attempt.

use std::sync::Arc;

use crate::command::Rejection;
use crate::decision::Decision;
use crate::effect::{Effect, Timer};
use crate::event::Fact;
use crate::execution::Execution;
use crate::key::TaskKey;
use crate::planted::{Bug, planted};
use crate::state::{ExecutionState, TaskState};

/// The worker stops an attempt that takes too long; the engine's own net waits this much longer.
const ATTEMPT_GRACE: i64 = 15_000_000;

/// When an attempt that began at `started` should have ended, whatever its worker says.
#[must_use]
pub fn attempt_deadline(execution: &Execution, task: TaskKey, started: i64) -> i64 {
    let timeout = execution.plan.task(task).timeout.micros();
    started.saturating_add(timeout).saturating_add(ATTEMPT_GRACE)
}

pub(super) fn grant(
    decision: &mut Decision<'_>,
    task: TaskKey,
    attempt: u32,
    worker: Arc<str>,
) -> Result<(), Rejection> {
    let Some(current) = decision.execution.tasks.get(task) else {
        return Err(Rejection::Stale);
    };
    let ready = current.state == TaskState::Scheduled && current.current_attempt() == attempt;
    let again = planted(Bug::GrantedTwice) && current.state == TaskState::Running && current.leases == attempt;
    // What is being ended gives out nothing, also where the end has not been told to every task yet.
    let may_start = decision.execution.mode().may_start() || planted(Bug::CancelledStillGranted);
    if !(ready || again) || !may_start {
        return Err(Rejection::Stale);
    }
    if again {
        return Ok(());
    }
    if decision.execution.state == ExecutionState::Pending {
        decision.record(Fact::ExecutionStarted);
    }
    decision.record(Fact::TaskStarted { task, attempt, worker });
    let at = attempt_deadline(decision.execution, task, decision.now);
    decision.then(Effect::SetTimer {
        timer: Timer::Attempt { task, attempt },
        at,
    });
    Ok(())
}
