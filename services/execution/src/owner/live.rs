//! A live execution: the engine's state, and what of it the store does not have yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nexus_engine::{Event, Execution, Output, Task, Transition};

use crate::ids::ExecutionId;
use crate::store::{Change, ExecutionRow, RequestKey, TaskRow};

#[derive(Debug)]
pub(super) struct Live {
    pub(super) id: ExecutionId,
    pub(super) execution: Execution,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) traceparent: String,
    /// Number of the newest event that is stored or on its way to the store.
    pub(super) written: u64,
    /// Events since then.
    pub(super) events: Vec<Event>,
    /// Tasks that changed since then.
    pub(super) dirty: BTreeSet<u32>,
    /// The idempotency key, until it is stored.
    pub(super) request: Option<RequestKey>,
    /// Its timers, to be forgotten with it.
    pub(super) timers: Vec<(i64, u64)>,
    /// It is terminal, and memory lets it go once everything is stored.
    pub(super) closed: bool,
}

impl Live {
    /// Takes note of what was decided.
    pub(super) fn record(&mut self, transition: &Transition) {
        self.dirty
            .extend(transition.events.iter().filter_map(|event| event.fact.task()));
        self.events.extend(transition.events.iter().cloned());
    }

    /// What the store lacks, as one change; from then on it counts as written.
    pub(super) fn take_change(&mut self) -> Option<Change> {
        if self.events.is_empty() {
            return None;
        }
        let execution = &self.execution;
        let tasks = self
            .dirty
            .iter()
            .map(|position| task_row(*position, &execution.tasks[*position as usize]));
        let fresh = self.written == 0;
        let change = Change {
            before: self.written,
            execution: ExecutionRow {
                id: self.id,
                workflow: execution.plan.workflow.clone(),
                revision: execution.plan.revision,
                state: execution.state,
                closing: execution.closing,
                closing_reason: execution.closing_reason.clone(),
                labels: self.labels.clone(),
                traceparent: self.traceparent.clone(),
                sequence: execution.sequence,
                created_at: execution.created_at,
                started_at: execution.started_at,
                finished_at: execution.finished_at,
                failure: execution.failure.clone(),
                params: if fresh {
                    Arc::from(execution.params.to_string())
                } else {
                    Arc::default()
                },
                output: execution.output.as_ref().map(|output| Arc::clone(output.text())),
            },
            tasks: tasks.collect(),
            events: std::mem::take(&mut self.events),
            request: self.request.take(),
        };
        self.dirty.clear();
        self.written = execution.sequence;
        Some(change)
    }
}

/// A task as the store keeps it.
fn task_row(position: u32, task: &Task) -> TaskRow {
    TaskRow {
        position,
        state: task.state,
        leases: task.leases,
        returned: task.returned,
        infra_losses: task.infra_losses,
        scheduled_at: task.scheduled_at,
        ready_at: task.ready_at,
        started_at: task.started_at,
        attempt_started_at: task.attempt_started_at,
        finished_at: task.finished_at,
        next_at: task.next_at,
        worker: task.worker.clone(),
        failure: task.failure.clone(),
        output: task.output.as_ref().map(|output| Arc::clone(output.text())),
    }
}

/// Puts a stored task back into an execution.
pub(super) fn restore(task: &mut Task, row: TaskRow) {
    task.state = row.state;
    task.leases = row.leases;
    task.returned = row.returned;
    task.infra_losses = row.infra_losses;
    task.scheduled_at = row.scheduled_at;
    task.ready_at = row.ready_at;
    task.started_at = row.started_at;
    task.attempt_started_at = row.attempt_started_at;
    task.finished_at = row.finished_at;
    task.next_at = row.next_at;
    task.worker = row.worker;
    task.failure = row.failure;
    task.output = row.output.map(Output::new);
}
