//! What one decision leaves to the next, so that no decision, and so no commit, grows with the size of the graph: an
//! execution of 100,000 tasks gives way to one of three after every slice.
//!
//! A backlog is derived from the tasks' states ([`crate::Execution::restore`]) and never stored. While there is one,
//! [`crate::Effect::Continue`] is owed for it.

use std::collections::VecDeque;

use crate::key::TaskKey;

/// Events of one decision, about; more are left to the next.
pub const SLICE: usize = 1_024;

/// Work that is left to the next decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Waiting tasks that are to be judged, in their order.
    pub(crate) judge: VecDeque<TaskKey>,
    /// While the execution is brought to an early end: the first task that has not been told yet.
    pub(crate) sweep: Option<TaskKey>,
    /// [`crate::Effect::Continue`] is under way: whatever comes in between adds to the backlog and leaves it alone.
    pub(crate) continued: bool,
}

impl Backlog {
    /// Whether anything is left to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.judge.is_empty() && self.sweep.is_none()
    }
}

#[cfg(test)]
mod tests;
