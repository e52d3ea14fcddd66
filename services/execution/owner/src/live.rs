//! A live execution: the engine's state, and what of it the store does not have yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nexus_api::Namespace;
use nexus_engine::planted::{Bug, planted};
use nexus_engine::{Event, Execution, ExecutionRecord, Fact, Output, Task, TaskKey, TaskRecord, TaskState, Transition};
use nexus_execution_store::{Change, ExecutionId, ExecutionRow, LeaseKey, Note, RequestKey, TaskCounts, TaskRow};

use super::admission::Size;
use super::messages::Begun;

#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: ExecutionId,
    pub(crate) execution: Execution,
    pub(crate) namespace: Namespace,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) traceparent: String,
    /// Number of the newest event that is stored or on its way to the store.
    pub(crate) written: u64,
    /// Its end is among them.
    pub(crate) written_over: bool,
    /// Events since then.
    pub(crate) events: Vec<Event>,
    /// Tasks that changed since then.
    pub(crate) dirty: BTreeSet<TaskKey>,
    /// Its params as JSON text, until they are stored.
    pub(crate) params: Option<Arc<str>>,
    /// Tasks whose changes are on their way to the store.
    pub(crate) writing: BTreeSet<TaskKey>,
    /// The idempotency key, until it is stored.
    pub(crate) request: Option<RequestKey>,
    /// What the audit log is told, until it is stored.
    pub(crate) notes: Vec<Note>,
    /// Its timers, to be forgotten with it.
    pub(crate) timers: Vec<(i64, u64)>,
    /// Bytes of its params and outputs.
    pub(crate) bytes: u64,
    /// It is terminal, and memory lets it go once everything is stored.
    pub(crate) closed: bool,
}

impl Live {
    /// An execution as it is before its first event, or as it was stored.
    pub(crate) fn new(
        id: ExecutionId,
        execution: Execution,
        namespace: Namespace,
        labels: BTreeMap<String, String>,
        trace: String,
    ) -> Self {
        Self {
            id,
            namespace,
            labels,
            traceparent: trace,
            written: execution.sequence,
            written_over: execution.state.is_terminal(),
            execution,
            events: Vec::new(),
            dirty: BTreeSet::new(),
            writing: BTreeSet::new(),
            params: None,
            request: None,
            notes: Vec::new(),
            timers: Vec::new(),
            bytes: 0,
            closed: false,
        }
    }

    /// How large it is in memory.
    pub(crate) fn size(&self) -> Size {
        Size {
            tasks: u64::from(self.execution.tasks().count()),
            bytes: self.bytes,
        }
    }

    /// Lets outputs go that no expression looks at: the store's copy is on its way, and nobody asks memory for them.
    fn drop_unwanted_outputs(&mut self) {
        for task in &self.writing {
            if !self.execution.plan().task(*task).wanted {
                let bytes = self.execution.forget_output(*task);
                self.bytes = self.bytes.saturating_sub(bytes as u64);
            }
        }
    }

    /// Its row as it is now. The params are in it until they are stored.
    pub(crate) fn row(&self) -> ExecutionRow {
        let execution = &self.execution;
        ExecutionRow {
            id: self.id,
            namespace: self.namespace.clone(),
            workflow: execution.plan().workflow.clone(),
            revision: execution.plan().revision,
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
            params: self.params.clone().unwrap_or_default(),
            output: execution.output.as_ref().map(|output| Arc::clone(output.text())),
        }
    }

    /// How it began.
    pub(crate) fn begun(&self) -> Begun {
        let mut counts = TaskCounts::new();
        for (_, task) in self.execution.tasks().iter() {
            match counts.iter_mut().find(|(state, _)| *state == task.state) {
                Some((_, number)) => *number += 1,
                None => counts.push((task.state, 1)),
            }
        }
        Begun {
            row: self.row(),
            counts,
        }
    }

    /// Whether the store has everything that happened to a task.
    pub(crate) fn is_stored(&self, task: TaskKey) -> bool {
        !self.dirty.contains(&task) && !self.writing.contains(&task)
    }

    /// Takes note of what was decided; gives how much larger the execution is for it.
    pub(crate) fn record(&mut self, transition: &Transition) -> Size {
        let mut bytes = 0;
        for event in &transition.events {
            self.dirty.extend(event.fact.task());
            if let Fact::TaskFinished {
                output: Some(output), ..
            } = &event.fact
            {
                bytes += output.text().len() as u64;
            }
        }
        self.events.extend(transition.events.iter().cloned());
        self.bytes += bytes;
        Size { tasks: 0, bytes }
    }

    /// What the store lacks, as one change; from then on it counts as written. `leased` tells the lease of a task.
    pub(crate) fn take_change(&mut self, leased: impl Fn(TaskKey) -> Option<LeaseKey>) -> Option<Change> {
        if self.events.is_empty() {
            return None;
        }
        let execution = &self.execution;
        let tasks = self
            .dirty
            .iter()
            .map(|task| task_row(*task, &execution.tasks()[*task], &leased));
        let mut change = Change {
            before: self.written,
            tasks: tasks.collect(),
            execution: self.row(),
            events: std::mem::take(&mut self.events),
            request: self.request.take(),
            notes: std::mem::take(&mut self.notes),
        };
        if planted(Bug::TaskRowForgotten) {
            change.tasks.pop();
        }
        self.writing = std::mem::take(&mut self.dirty);
        self.params = None;
        self.written = self.execution.sequence;
        self.written_over = self.execution.state.is_terminal();
        self.drop_unwanted_outputs();
        Some(change)
    }
}

/// A task as the store keeps it.
fn task_row(key: TaskKey, task: &Task, leased: impl Fn(TaskKey) -> Option<LeaseKey>) -> TaskRow {
    TaskRow {
        lease: (task.state == TaskState::Running).then(|| leased(key)).flatten(),
        position: key.number(),
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

/// A stored task as the engine knows it.
pub(crate) fn task_record(row: TaskRow) -> TaskRecord {
    TaskRecord {
        state: row.state,
        leases: row.leases,
        returned: row.returned,
        infra_losses: row.infra_losses,
        scheduled_at: row.scheduled_at,
        ready_at: row.ready_at,
        started_at: row.started_at,
        attempt_started_at: row.attempt_started_at,
        finished_at: row.finished_at,
        next_at: row.next_at,
        worker: row.worker,
        failure: row.failure,
        output: row.output.map(Output::new),
    }
}

/// A stored execution as the engine knows it.
pub(crate) fn record(row: &ExecutionRow) -> ExecutionRecord {
    ExecutionRecord {
        state: row.state,
        closing: row.closing,
        closing_reason: row.closing_reason.clone(),
        sequence: row.sequence,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        output: row.output.clone().map(Output::new),
        failure: row.failure.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use nexus_engine::Plan;
    use serde_json::json;

    use super::*;

    /// An execution of one task.
    pub(crate) fn live() -> Live {
        live_with(TaskRecord::default())
    }

    /// An execution of one task, as it was stored.
    pub(crate) fn live_with(task: TaskRecord) -> Live {
        let document = json!({"name": "w", "tasks": {"a": {"noop": {}}}});
        let workflow = serde_json::from_value(document).expect("workflow");
        let plan = Arc::new(Plan::new(&workflow, 1).expect("plan"));
        let record = ExecutionRecord::accepted(0);
        let execution = Execution::restore(
            "x".into(),
            plan,
            Arc::new(json!({})),
            7,
            record,
            [(TaskKey::of(0), task)],
        );
        Live::new(
            ExecutionId(uuid::Uuid::nil()),
            execution.expect("it has that task"),
            Namespace::default(),
            BTreeMap::new(),
            String::new(),
        )
    }
}
