//! How states are written down, the same in every adapter; [`super::facts`] does it for events. Numbers are never reused.

use nexus_api::Namespace;
use nexus_engine::{Closing, ExecutionState, Failure, TaskState};

use super::{LeaseKey, LeaseToken, SessionId, StoreError};

const EXECUTION_STATES: [ExecutionState; 8] = [
    ExecutionState::Pending,
    ExecutionState::Running,
    ExecutionState::Paused,
    ExecutionState::Cancelling,
    ExecutionState::Succeeded,
    ExecutionState::Failed,
    ExecutionState::Cancelled,
    ExecutionState::TimedOut,
];

const TASK_STATES: [TaskState; 15] = [
    TaskState::Waiting,
    TaskState::Scheduled,
    TaskState::Running,
    TaskState::Retrying,
    TaskState::Sleeping,
    TaskState::AwaitingSignal,
    TaskState::Paused,
    TaskState::Succeeded,
    TaskState::Cached,
    TaskState::Skipped,
    TaskState::UpstreamFailed,
    TaskState::Failed,
    TaskState::TimedOut,
    TaskState::Cancelled,
    TaskState::Unknown,
];

const CLOSINGS: [Closing; 3] = [Closing::Cancelled, Closing::TimedOut, Closing::FailFast];

/// A value's number: its place in the list, from 1; the contracts number them in the same way.
fn number<T: PartialEq>(list: &[T], value: &T) -> i64 {
    let place = list.iter().position(|listed| listed == value).unwrap_or(usize::MAX - 1);
    i64::try_from(place + 1).unwrap_or(0)
}

fn value<T: Copy>(list: &[T], number: i64, what: &str) -> Result<T, StoreError> {
    let place = usize::try_from(number - 1).ok();
    place
        .and_then(|place| list.get(place).copied())
        .ok_or_else(|| StoreError::Inconsistent(format!("{what} {number} is unknown")))
}

/// An execution state's number.
#[must_use]
pub fn execution_state_number(state: ExecutionState) -> i64 {
    number(&EXECUTION_STATES, &state)
}

/// The execution state of a number.
pub fn execution_state(number: i64) -> Result<ExecutionState, StoreError> {
    value(&EXECUTION_STATES, number, "execution state")
}

/// A task state's number.
#[must_use]
pub fn task_state_number(state: TaskState) -> i64 {
    number(&TASK_STATES, &state)
}

/// The task state of a number.
pub fn task_state(number: i64) -> Result<TaskState, StoreError> {
    value(&TASK_STATES, number, "task state")
}

/// A closing's number; 0 for none.
#[must_use]
pub fn closing_number(closing: Option<Closing>) -> i64 {
    closing.map_or(0, |closing| number(&CLOSINGS, &closing))
}

/// The closing of a number.
pub fn closing(number: i64) -> Result<Option<Closing>, StoreError> {
    if number == 0 {
        Ok(None)
    } else {
        value(&CLOSINGS, number, "closing").map(Some)
    }
}

/// The namespace and the name of a workflow that is written as one text, [`Namespace::qualify`] having put them together.
pub fn workflow(text: String) -> Result<(Namespace, String), StoreError> {
    let (namespace, name) = Namespace::of_qualified(&text)
        .map_err(|error| StoreError::Inconsistent(format!("the workflow of an execution: {error}")))?;
    if namespace.is_default() {
        return Ok((namespace, text));
    }
    let name = name.to_owned();
    Ok((namespace, name))
}

/// A failure as JSON text.
#[must_use]
pub fn failure_text(failure: Option<&Failure>) -> Option<String> {
    failure.and_then(|failure| serde_json::to_string(failure).ok())
}

/// The failure of a JSON text.
pub fn failure(text: Option<&str>) -> Result<Option<Failure>, StoreError> {
    text.map(|text| serde_json::from_str(text).map_err(|error| StoreError::Inconsistent(format!("a failure: {error}"))))
        .transpose()
}

/// What a lease is known by as text: token and session, neither of which has a space.
#[must_use]
pub fn lease_text(lease: Option<&LeaseKey>) -> Option<String> {
    lease.map(|lease| format!("{} {}", lease.token, lease.session))
}

/// The lease of a text.
#[must_use]
pub fn lease(text: Option<&str>) -> Option<LeaseKey> {
    let (token, session) = text?.split_once(' ')?;
    Some(LeaseKey {
        token: LeaseToken::from(token),
        session: SessionId::from(session),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree_with_the_contracts() {
        use nexus_api::execution::v1::{execution, task};
        for state in EXECUTION_STATES {
            let number = execution_state_number(state);
            assert_eq!(execution_state(number).expect("read"), state);
            let name = execution::State::try_from(i32::try_from(number).expect("small")).expect("in the contract");
            assert_eq!(name.as_str_name().replace('_', ""), format!("{state:?}").to_uppercase());
        }
        for state in TASK_STATES {
            let number = i32::try_from(task_state_number(state)).expect("small");
            assert_eq!(
                task::State::try_from(number).expect("in the contract").as_str_name(),
                state.name()
            );
        }
        assert!(execution_state(0).is_err() && task_state(16).is_err());
    }
}
