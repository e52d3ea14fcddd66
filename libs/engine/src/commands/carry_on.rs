//! Continue: the next slice of what an earlier decision left over.

use super::{Decision, Rejection, cancel};
use crate::progress;

pub(super) fn carry_on(decision: &mut Decision<'_>) -> Result<(), Rejection> {
    if decision.execution.state.is_terminal() {
        return Err(Rejection::Closed);
    }
    decision.execution.backlog.continued = false;
    if decision.execution.mode().is_closing() {
        cancel::sweep(decision);
    } else {
        progress::advance(decision);
    }
    Ok(())
}
