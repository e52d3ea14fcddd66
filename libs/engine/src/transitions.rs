//! The state machines as tables. [`crate::Execution::apply`] looks every change up here; a change that is not listed
//! is refused. The tests show that each line is reached and that nothing else is.

use crate::event::EventKind as E;
use crate::state::ExecutionState as X;
use crate::state::TaskState as T;

/// (from, event, to) of a task.
pub const TASK_TRANSITIONS: &[(T, E, T)] = &[
    (T::Waiting, E::TaskScheduled, T::Scheduled),
    (T::Waiting, E::TaskFinished, T::Skipped),
    (T::Waiting, E::TaskFinished, T::Cached),
    (T::Waiting, E::TaskFinished, T::UpstreamFailed),
    (T::Waiting, E::TaskFinished, T::Failed),
    (T::Waiting, E::TaskFinished, T::Cancelled),
    (T::Scheduled, E::TaskStarted, T::Running),
    (T::Scheduled, E::TaskFinished, T::TimedOut),
    (T::Scheduled, E::TaskFinished, T::Cancelled),
    (T::Running, E::TaskFinished, T::Succeeded),
    (T::Running, E::TaskFinished, T::Cached),
    (T::Running, E::TaskFinished, T::Failed),
    (T::Running, E::TaskFinished, T::TimedOut),
    (T::Running, E::TaskFinished, T::Cancelled),
    (T::Running, E::TaskFinished, T::Unknown),
    (T::Running, E::TaskRetrying, T::Retrying),
    (T::Running, E::TaskLost, T::Scheduled),
    (T::Retrying, E::TaskScheduled, T::Scheduled),
    (T::Retrying, E::TaskFinished, T::TimedOut),
    (T::Retrying, E::TaskFinished, T::Cancelled),
];

/// (from, event, to) of an execution.
pub const EXECUTION_TRANSITIONS: &[(X, E, X)] = &[
    (X::Pending, E::ExecutionCreated, X::Pending),
    (X::Pending, E::ExecutionStarted, X::Running),
    (X::Pending, E::ExecutionCancelling, X::Cancelling),
    (X::Pending, E::ExecutionFinished, X::Succeeded),
    (X::Pending, E::ExecutionFinished, X::Failed),
    (X::Running, E::ExecutionCancelling, X::Cancelling),
    (X::Running, E::ExecutionFinished, X::Succeeded),
    (X::Running, E::ExecutionFinished, X::Failed),
    (X::Cancelling, E::ExecutionFinished, X::Cancelled),
    (X::Cancelling, E::ExecutionFinished, X::TimedOut),
    (X::Cancelling, E::ExecutionFinished, X::Failed),
];

/// Whether a task may change so.
pub(crate) fn task_may(from: T, event: E, to: T) -> bool {
    TASK_TRANSITIONS.contains(&(from, event, to))
}

/// Whether an execution may change so.
pub(crate) fn execution_may(from: X, event: E, to: X) -> bool {
    EXECUTION_TRANSITIONS.contains(&(from, event, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_states_have_no_way_out() {
        assert!(TASK_TRANSITIONS.iter().all(|(from, _, _)| !from.is_terminal()));
        assert!(EXECUTION_TRANSITIONS.iter().all(|(from, _, _)| !from.is_terminal()));
    }

    #[test]
    fn no_line_stands_twice() {
        let mut tasks = TASK_TRANSITIONS.to_vec();
        tasks.sort_unstable();
        tasks.dedup();
        assert_eq!(tasks.len(), TASK_TRANSITIONS.len());
        let mut executions = EXECUTION_TRANSITIONS.to_vec();
        executions.sort_unstable();
        executions.dedup();
        assert_eq!(executions.len(), EXECUTION_TRANSITIONS.len());
    }
}
