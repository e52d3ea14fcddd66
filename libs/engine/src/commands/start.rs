//! Start: judges every task that waits for nothing.

use crate::command::Rejection;
use crate::decision::Decision;
use crate::event::Fact;
use crate::progress::advance;
use crate::resume::deadline;

pub(super) fn start(decision: &mut Decision<'_>) -> Result<(), Rejection> {
    if decision.execution.sequence > 0 {
        return Err(Rejection::AlreadyStarted);
    }
    decision.record(Fact::ExecutionCreated);
    if let Some(effect) = deadline(decision.execution) {
        decision.then(effect);
    }
    let roots = 0..u32::try_from(decision.execution.tasks.len()).unwrap_or(u32::MAX);
    decision.execution.backlog.judge = roots.collect();
    advance(decision);
    Ok(())
}
