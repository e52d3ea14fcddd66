//! How states and events are written down, the same in every adapter. Numbers are never reused.

use std::sync::Arc;

use nexus_api::Namespace;
use nexus_engine::{Closing, Event, ExecutionState, Fact, Failure, TaskState};
use serde::{Deserialize, Serialize};

use super::{LeaseKey, StoreError};

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
        token: Arc::from(token),
        session: Arc::from(session),
    })
}

/// An event as columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventColumns {
    /// Which fact, as the contract numbers it.
    pub kind: i64,
    /// Position of the task; -1 for none.
    pub task: i64,
    /// The attempt; 0 for none.
    pub attempt: i64,
    /// The state that it led to, where the kind alone does not say; 0 otherwise.
    pub state: i64,
    /// The rest as JSON text; empty for none.
    pub data: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Data {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    worker: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    counted: bool,
    /// By which rule an execution was concluded. Versions before there were two wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rule: Option<u32>,
}

/// Writes an event down. Outputs stay out: they stand with their task and execution.
#[must_use]
pub fn event_columns(event: &Event) -> EventColumns {
    let (kind, attempt, state, data) = match &event.fact {
        Fact::ExecutionCreated => (1, 0, 0, Data::default()),
        Fact::ExecutionStarted => (2, 0, 0, Data::default()),
        Fact::ExecutionCancelling { closing, reason } => (
            3,
            0,
            closing_number(Some(*closing)),
            Data {
                reason: Some(reason.clone()),
                ..Data::default()
            },
        ),
        Fact::ExecutionFinished {
            state, failure, rule, ..
        } => (
            4,
            0,
            execution_state_number(*state),
            Data {
                failure: failure.clone(),
                rule: (*rule > 1).then_some(*rule),
                ..Data::default()
            },
        ),
        Fact::TaskScheduled { attempt, .. } => (5, *attempt, 0, Data::default()),
        Fact::TaskStarted { attempt, worker, .. } => (
            6,
            *attempt,
            0,
            Data {
                worker: Some(Arc::clone(worker)),
                ..Data::default()
            },
        ),
        Fact::TaskRetrying {
            attempt,
            failure,
            next_at,
            ..
        } => (
            7,
            *attempt,
            0,
            Data {
                failure: Some(failure.clone()),
                next_at: Some(*next_at),
                ..Data::default()
            },
        ),
        Fact::TaskLost {
            attempt,
            failure,
            counted,
            ..
        } => (
            8,
            *attempt,
            0,
            Data {
                failure: Some(failure.clone()),
                counted: *counted,
                ..Data::default()
            },
        ),
        Fact::TaskFinished {
            attempt,
            state,
            failure,
            ..
        } => (
            9,
            *attempt,
            task_state_number(*state),
            Data {
                failure: failure.clone(),
                ..Data::default()
            },
        ),
    };
    let data = serde_json::to_string(&data).unwrap_or_default();
    EventColumns {
        kind,
        task: event.fact.task().map_or(-1, i64::from),
        attempt: i64::from(attempt),
        state,
        data: if data == "{}" { String::new() } else { data },
    }
}

/// Reads an event back.
pub fn event(sequence: u64, at: i64, columns: &EventColumns) -> Result<Event, StoreError> {
    let broken = |what: &str| StoreError::Inconsistent(format!("event {sequence}: {what}"));
    let data: Data = match columns.data.as_str() {
        "" => Data::default(),
        text => serde_json::from_str(text).map_err(|error| broken(&error.to_string()))?,
    };
    let task = || u32::try_from(columns.task).map_err(|_| broken("no task"));
    let attempt = u32::try_from(columns.attempt).map_err(|_| broken("a negative attempt"))?;
    let failure = || data.failure.clone().ok_or_else(|| broken("no failure"));
    let fact = match columns.kind {
        1 => Fact::ExecutionCreated,
        2 => Fact::ExecutionStarted,
        3 => Fact::ExecutionCancelling {
            closing: closing(columns.state)?.ok_or_else(|| broken("no closing"))?,
            reason: data.reason.unwrap_or_default(),
        },
        4 => {
            let state = execution_state(columns.state)?;
            Fact::ExecutionFinished {
                state,
                output: None,
                failure: data.failure,
                rule: data.rule.unwrap_or(1),
            }
        }
        5 => Fact::TaskScheduled { task: task()?, attempt },
        6 => Fact::TaskStarted {
            task: task()?,
            attempt,
            worker: data.worker.unwrap_or_default(),
        },
        7 => Fact::TaskRetrying {
            task: task()?,
            attempt,
            failure: failure()?,
            next_at: data.next_at.ok_or_else(|| broken("no time"))?,
        },
        8 => Fact::TaskLost {
            task: task()?,
            attempt,
            failure: failure()?,
            counted: data.counted,
        },
        9 => {
            let state = task_state(columns.state)?;
            Fact::TaskFinished {
                task: task()?,
                attempt,
                state,
                output: None,
                failure: data.failure,
            }
        }
        other => return Err(broken(&format!("kind {other} is unknown"))),
    };
    Ok(Event { sequence, at, fact })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_engine::FailureKind;

    #[test]
    fn every_event_survives_being_written_down() {
        let failure = Failure::new(FailureKind::Timeout, "Timeout", "too \"slow\"\n");
        let facts = [
            Fact::ExecutionCreated,
            Fact::ExecutionStarted,
            Fact::ExecutionCancelling {
                closing: Closing::FailFast,
                reason: "why".into(),
            },
            Fact::ExecutionFinished {
                state: ExecutionState::TimedOut,
                output: None,
                failure: Some(failure.clone()),
                rule: 1,
            },
            Fact::ExecutionFinished {
                state: ExecutionState::Succeeded,
                output: None,
                failure: None,
                rule: nexus_engine::END_RULE,
            },
            Fact::TaskScheduled { task: 0, attempt: 1 },
            Fact::TaskStarted {
                task: 7,
                attempt: 2,
                worker: "w".into(),
            },
            Fact::TaskRetrying {
                task: 7,
                attempt: 2,
                failure: failure.clone(),
                next_at: 99,
            },
            Fact::TaskLost {
                task: 7,
                attempt: 3,
                failure: failure.clone(),
                counted: true,
            },
            Fact::TaskFinished {
                task: 7,
                attempt: 4,
                state: TaskState::Unknown,
                output: None,
                failure: Some(failure),
            },
        ];
        for (sequence, fact) in (1..).zip(facts) {
            let written = Event { sequence, at: 5, fact };
            assert_eq!(event(sequence, 5, &event_columns(&written)).expect("read"), written);
        }
    }

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
