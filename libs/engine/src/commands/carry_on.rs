//! Continue: the next slice of what an earlier decision left over.

use crate::closing::sweep;
use crate::command::Rejection;
use crate::decision::Decision;
use crate::progress::advance;

pub(super) fn carry_on(decision: &mut Decision<'_>) -> Result<(), Rejection> {
    if decision.execution.state.is_terminal() {
        return Err(Rejection::Closed);
    }
    decision.execution.backlog.continued = false;
    if decision.execution.mode().is_closing() {
        sweep(decision);
    } else {
        advance(decision);
    }
    Ok(())
}
