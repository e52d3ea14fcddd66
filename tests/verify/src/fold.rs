//! The history folded into rows, written a second time so that it can disagree with NEXUS.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::database::{EventRow, TaskRow};

/// Numbers of kinds and states, as the contracts give them.
pub(crate) mod number {
    pub(crate) const CREATED: i64 = 1;
    pub(crate) const STARTED: i64 = 2;
    pub(crate) const CANCELLING: i64 = 3;
    pub(crate) const FINISHED: i64 = 4;
    pub(crate) const TASK_SCHEDULED: i64 = 5;
    pub(crate) const TASK_STARTED: i64 = 6;
    pub(crate) const TASK_RETRYING: i64 = 7;
    pub(crate) const TASK_LOST: i64 = 8;
    pub(crate) const TASK_FINISHED: i64 = 9;

    pub(crate) const PENDING: i64 = 1;
    pub(crate) const RUNNING: i64 = 2;
    pub(crate) const IS_CANCELLING: i64 = 4;
    pub(crate) const FIRST_TERMINAL: i64 = 5;
    pub(crate) const SUCCEEDED: i64 = 5;
    pub(crate) const FAILED: i64 = 6;
    pub(crate) const CANCELLED: i64 = 7;
    pub(crate) const TIMED_OUT: i64 = 8;

    pub(crate) const TASK_IS_WAITING: i64 = 1;
    pub(crate) const TASK_IS_SCHEDULED: i64 = 2;
    pub(crate) const TASK_IS_RUNNING: i64 = 3;
    pub(crate) const TASK_IS_RETRYING: i64 = 4;
    pub(crate) const TASK_SUCCEEDED: i64 = 8;
    pub(crate) const TASK_CACHED: i64 = 9;
    pub(crate) const TASK_SKIPPED: i64 = 10;
    pub(crate) const TASK_UPSTREAM_FAILED: i64 = 11;
    pub(crate) const TASK_FAILED: i64 = 12;
    pub(crate) const TASK_TIMED_OUT: i64 = 13;
    pub(crate) const TASK_CANCELLED: i64 = 14;
    pub(crate) const TASK_UNKNOWN: i64 = 15;
}
use number as n;

/// An execution as its history tells it.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    pub(crate) state: i64,
    pub(crate) closing: i64,
    pub(crate) closing_reason: String,
    pub(crate) created_at: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
    pub(crate) failure: Option<Value>,
    pub(crate) tasks: BTreeMap<i64, TaskRow>,
    /// Events that could not follow what was before them.
    pub(crate) illegal: Vec<String>,
}

/// Folds a history.
pub(crate) fn fold(events: &[EventRow]) -> Folded {
    let mut folded = Folded {
        state: n::PENDING,
        ..Folded::default()
    };
    for event in events {
        folded.apply(event);
    }
    folded
}

impl Folded {
    fn apply(&mut self, event: &EventRow) {
        let before = self.state;
        match event.kind {
            n::CREATED => {
                self.require(event, event.sequence == 1);
                self.created_at = event.at;
            }
            n::STARTED => {
                self.require(event, before == n::PENDING);
                self.state = n::RUNNING;
                self.started_at = Some(event.at);
            }
            n::CANCELLING => {
                self.require(event, matches!(before, n::PENDING | n::RUNNING));
                self.state = n::IS_CANCELLING;
                self.closing = event.state;
                self.closing_reason = event.data["reason"].as_str().unwrap_or_default().to_owned();
            }
            n::FINISHED => {
                self.require(event, before < n::FIRST_TERMINAL && event.state >= n::FIRST_TERMINAL);
                let open = self.tasks.values().any(|task| !is_terminal(task.state));
                self.require(event, !open);
                self.state = event.state;
                self.finished_at = Some(event.at);
                self.failure = given(&event.data["failure"]);
            }
            _ => self.apply_to_task(event),
        }
    }

    fn apply_to_task(&mut self, event: &EventRow) {
        let fresh = TaskRow {
            state: n::TASK_IS_WAITING,
            ..TaskRow::default()
        };
        let mut task = self.tasks.remove(&event.task).unwrap_or(fresh);
        let legal = match (task.state, event.kind) {
            (n::TASK_IS_WAITING | n::TASK_IS_RETRYING, n::TASK_SCHEDULED) => event.attempt == task.leases + 1,
            (n::TASK_IS_SCHEDULED, n::TASK_STARTED) => event.attempt == task.leases + 1,
            (n::TASK_IS_RUNNING, n::TASK_RETRYING | n::TASK_LOST) => event.attempt == task.leases,
            (state, n::TASK_FINISHED) => may_end(state, event.state),
            _ => false,
        };
        self.require(event, legal && self.state < n::FIRST_TERMINAL && event.task >= 0);
        task.next_at = None;
        match event.kind {
            n::TASK_SCHEDULED => {
                task.state = n::TASK_IS_SCHEDULED;
                task.scheduled_at = task.scheduled_at.or(Some(event.at));
                task.ready_at = Some(event.at);
            }
            n::TASK_STARTED => {
                task.state = n::TASK_IS_RUNNING;
                task.leases += 1;
                task.started_at = task.started_at.or(Some(event.at));
                task.attempt_started_at = Some(event.at);
                task.worker = Some(event.data["worker"].as_str().unwrap_or_default().to_owned());
            }
            n::TASK_RETRYING => {
                task.state = n::TASK_IS_RETRYING;
                task.failure = given(&event.data["failure"]);
                task.next_at = event.data["next_at"].as_i64();
            }
            n::TASK_LOST => {
                task.state = n::TASK_IS_SCHEDULED;
                task.returned += 1;
                task.infra_losses += i64::from(event.data["counted"] == true);
                task.failure = given(&event.data["failure"]);
                task.ready_at = Some(event.at);
            }
            _ => {
                task.state = event.state;
                task.finished_at = Some(event.at);
                task.failure = given(&event.data["failure"]);
            }
        }
        self.tasks.insert(event.task, task);
    }

    fn require(&mut self, event: &EventRow, legal: bool) {
        if !legal {
            self.illegal.push(format!("{} cannot follow", told(event)));
        }
    }
}

/// Whether a task stays so for ever.
pub(crate) fn is_terminal(state: i64) -> bool {
    state >= n::TASK_SUCCEEDED
}

fn may_end(from: i64, to: i64) -> bool {
    match from {
        n::TASK_IS_WAITING => matches!(
            to,
            n::TASK_SKIPPED | n::TASK_UPSTREAM_FAILED | n::TASK_FAILED | n::TASK_CANCELLED
        ),
        n::TASK_IS_SCHEDULED | n::TASK_IS_RETRYING => matches!(to, n::TASK_TIMED_OUT | n::TASK_CANCELLED),
        n::TASK_IS_RUNNING => matches!(
            to,
            n::TASK_SUCCEEDED | n::TASK_FAILED | n::TASK_TIMED_OUT | n::TASK_CANCELLED | n::TASK_UNKNOWN
        ),
        _ => false,
    }
}

fn given(value: &Value) -> Option<Value> {
    (!value.is_null()).then(|| value.clone())
}

/// An event in words.
pub(crate) fn told(event: &EventRow) -> String {
    let kinds = [
        "CREATED",
        "STARTED",
        "CANCELLING",
        "FINISHED",
        "TASK_SCHEDULED",
        "TASK_STARTED",
        "TASK_RETRYING",
        "TASK_LOST",
        "TASK_FINISHED",
    ];
    let place = usize::try_from(event.kind - 1).unwrap_or(usize::MAX);
    let kind = kinds.get(place).copied().unwrap_or("UNKNOWN_KIND");
    let mut text = format!("{:>4} {} {kind}", event.sequence, event.at);
    if event.task >= 0 {
        text += &format!(" task {} attempt {}", event.task, event.attempt);
    }
    if event.state != 0 {
        text += &format!(" state {}", event.state);
    }
    if event.data.as_object().is_none_or(|fields| !fields.is_empty()) {
        text += &format!(" {}", event.data);
    }
    text
}
