//! Cancel: somebody ends the execution early.

use crate::closing::close;
use crate::command::Rejection;
use crate::decision::Decision;
use crate::state::Closing;

pub(super) fn cancel(decision: &mut Decision<'_>, reason: String) -> Result<(), Rejection> {
    if decision.execution.state.is_terminal() {
        return Err(Rejection::Closed);
    }
    // Cancelling twice is no error and changes nothing.
    if !decision.execution.mode().is_closing() {
        let reason = if reason.is_empty() {
            "cancelled".to_owned()
        } else {
            reason
        };
        close(decision, Closing::Cancelled, reason);
    }
    Ok(())
}
