//! How events are written down, the same in every adapter: one table gives each fact its kind, its number and what is
//! written of it. Numbers are those of the contract and are never reused.

use std::sync::Arc;

use nexus_engine::{Event, EventKind, Fact, Failure, TaskKey};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::codec::{closing, closing_number, execution_state, execution_state_number, task_state, task_state_number};

/// How a fact is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Which fact.
    pub kind: EventKind,
    /// Its number, in the column `kind` and in the contract's `Event.Type`.
    pub number: i64,
    /// Whose state stands in the column `state`.
    pub state: StateColumn,
    /// What may stand in the column `data`, by name.
    pub data: &'static [&'static str],
}

/// What the column `state` holds for a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateColumn {
    /// Nothing: the kind says it all.
    Unused,
    /// What ends the execution early.
    Closing,
    /// The state of the execution.
    Execution,
    /// The state of the task.
    Task,
}

const fn row(kind: EventKind, number: i64, state: StateColumn, data: &'static [&'static str]) -> Row {
    Row {
        kind,
        number,
        state,
        data,
    }
}

/// Every fact.
#[rustfmt::skip]
pub const FACTS: [Row; 9] = [
    row(EventKind::ExecutionCreated,    1, StateColumn::Unused,    &[]),
    row(EventKind::ExecutionStarted,    2, StateColumn::Unused,    &[]),
    row(EventKind::ExecutionCancelling, 3, StateColumn::Closing,   &["reason"]),
    row(EventKind::ExecutionFinished,   4, StateColumn::Execution, &["failure", "rule"]),
    row(EventKind::TaskScheduled,       5, StateColumn::Unused,    &[]),
    row(EventKind::TaskStarted,         6, StateColumn::Unused,    &["worker"]),
    row(EventKind::TaskRetrying,        7, StateColumn::Unused,    &["failure", "next_at"]),
    row(EventKind::TaskLost,            8, StateColumn::Unused,    &["failure", "counted"]),
    row(EventKind::TaskFinished,        9, StateColumn::Task,      &["failure"]),
];

/// A fact's number.
#[must_use]
pub fn number(kind: EventKind) -> i64 {
    // A test finds a kind without a row.
    FACTS.iter().find(|row| row.kind == kind).map_or(0, |row| row.number)
}

/// The fact of a number.
fn kind(number: i64) -> Option<EventKind> {
    FACTS.iter().find(|row| row.number == number).map(|row| row.kind)
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
    let (attempt, state, data) = match &event.fact {
        Fact::ExecutionCreated | Fact::ExecutionStarted => (0, 0, Data::default()),
        Fact::ExecutionCancelling { closing, reason } => (
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
            0,
            execution_state_number(*state),
            Data {
                failure: failure.clone(),
                rule: (*rule > 1).then_some(*rule),
                ..Data::default()
            },
        ),
        Fact::TaskScheduled { attempt, .. } => (*attempt, 0, Data::default()),
        Fact::TaskStarted { attempt, worker, .. } => (
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
        kind: number(event.fact.kind()),
        task: event.fact.task().map_or(-1, |task| i64::from(task.number())),
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
    let task = || {
        u32::try_from(columns.task)
            .map(TaskKey::numbered)
            .map_err(|_| broken("no task"))
    };
    let attempt = u32::try_from(columns.attempt).map_err(|_| broken("a negative attempt"))?;
    let failure = || data.failure.clone().ok_or_else(|| broken("no failure"));
    let kind = kind(columns.kind).ok_or_else(|| broken(&format!("kind {} is unknown", columns.kind)))?;
    let fact = match kind {
        EventKind::ExecutionCreated => Fact::ExecutionCreated,
        EventKind::ExecutionStarted => Fact::ExecutionStarted,
        EventKind::ExecutionCancelling => Fact::ExecutionCancelling {
            closing: closing(columns.state)?.ok_or_else(|| broken("no closing"))?,
            reason: data.reason.unwrap_or_default(),
        },
        EventKind::ExecutionFinished => {
            let state = execution_state(columns.state)?;
            Fact::ExecutionFinished {
                state,
                output: None,
                failure: data.failure,
                rule: data.rule.unwrap_or(1),
            }
        }
        EventKind::TaskScheduled => Fact::TaskScheduled { task: task()?, attempt },
        EventKind::TaskStarted => Fact::TaskStarted {
            task: task()?,
            attempt,
            worker: data.worker.unwrap_or_default(),
        },
        EventKind::TaskRetrying => Fact::TaskRetrying {
            task: task()?,
            attempt,
            failure: failure()?,
            next_at: data.next_at.ok_or_else(|| broken("no time"))?,
        },
        EventKind::TaskLost => Fact::TaskLost {
            task: task()?,
            attempt,
            failure: failure()?,
            counted: data.counted,
        },
        EventKind::TaskFinished => {
            let state = task_state(columns.state)?;
            Fact::TaskFinished {
                task: task()?,
                attempt,
                state,
                output: None,
                failure: data.failure,
            }
        }
    };
    Ok(Event { sequence, at, fact })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use nexus_api::execution::v1::event as contract;
    use nexus_engine::{Closing, ExecutionState, FailureKind, TaskState};

    use super::*;

    fn samples() -> Vec<Fact> {
        let failure = Failure::new(FailureKind::Timeout, "Timeout", "too \"slow\"\n");
        vec![
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
            Fact::TaskScheduled {
                task: TaskKey::of(0),
                attempt: 1,
            },
            Fact::TaskStarted {
                task: TaskKey::of(7),
                attempt: 2,
                worker: "w".into(),
            },
            Fact::TaskRetrying {
                task: TaskKey::of(7),
                attempt: 2,
                failure: failure.clone(),
                next_at: 99,
            },
            Fact::TaskLost {
                task: TaskKey::of(7),
                attempt: 3,
                failure: failure.clone(),
                counted: true,
            },
            Fact::TaskFinished {
                task: TaskKey::of(7),
                attempt: 4,
                state: TaskState::Unknown,
                output: None,
                failure: Some(failure),
            },
        ]
    }

    #[test]
    fn every_event_survives_being_written_down() {
        for (sequence, fact) in (1..).zip(samples()) {
            let written = Event { sequence, at: 5, fact };
            assert_eq!(event(sequence, 5, &event_columns(&written)).expect("read"), written);
        }
    }

    #[test]
    fn every_fact_has_one_row_which_is_what_the_contract_says() {
        let kinds: BTreeSet<EventKind> = FACTS.iter().map(|row| row.kind).collect();
        assert_eq!(kinds, EventKind::ALL.into(), "each kind once");
        let mut numbers = BTreeSet::new();
        for row in FACTS {
            let number = i32::try_from(row.number).expect("small");
            let named = contract::Type::try_from(number).expect("in the contract");
            assert_eq!(format!("{named:?}"), format!("{:?}", row.kind));
            numbers.insert(number);
        }
        let unknown = (1..64).filter(|number| contract::Type::try_from(*number).is_ok() != numbers.contains(number));
        assert_eq!(unknown.collect::<Vec<_>>(), [0; 0], "the contract has others");
    }

    #[test]
    fn of_every_fact_is_written_what_its_row_says() {
        let mut seen = BTreeSet::new();
        for (sequence, fact) in (1..).zip(samples()) {
            let row = FACTS.iter().find(|row| row.kind == fact.kind()).expect("a row");
            let columns = event_columns(&Event { sequence, at: 5, fact });
            assert_eq!(columns.state != 0, row.state != StateColumn::Unused, "{row:?}");
            let data: serde_json::Map<String, serde_json::Value> = match columns.data.as_str() {
                "" => serde_json::Map::new(),
                text => serde_json::from_str(text).expect("an object"),
            };
            for name in data.keys() {
                assert!(row.data.contains(&name.as_str()), "{name} of {row:?}");
                seen.insert((row.number, name.clone()));
            }
        }
        let said = FACTS
            .iter()
            .flat_map(|row| row.data.iter().map(|name| (row.number, (*name).to_owned())));
        assert_eq!(seen, said.collect(), "nothing is said that is not written");
    }
}
