//! The tasks of an execution in memory.

use std::ops::{Deref, Index, IndexMut};
use std::sync::Arc;

use crate::event::Fact;
use crate::key::TaskKey;
use crate::plan::TaskPlan;
use crate::planted::{Bug, planted};
use crate::record::TaskRecord;
use crate::rules::Tally;
use crate::state::TaskState;

/// A task of an execution; reads as its record.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub(crate) record: TaskRecord,
    /// How the tasks that it needs have ended. Derived, never stored.
    pub(crate) tally: Tally,
}

impl Task {
    /// A task as its record says; nothing of what it needs has ended yet.
    pub(crate) fn of(plan: &TaskPlan, record: TaskRecord) -> Self {
        Self {
            record,
            tally: Tally::before(plan),
        }
    }

    /// How the tasks that it needs have ended.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

impl Deref for Task {
    type Target = TaskRecord;

    fn deref(&self) -> &TaskRecord {
        &self.record
    }
}

/// The tasks of an execution, by key.
#[derive(Debug, Clone, PartialEq)]
pub struct Tasks(Vec<Task>);

impl Tasks {
    /// One task of each node, in the plan's order.
    pub(crate) fn of_nodes(tasks: impl Iterator<Item = Task>) -> Self {
        Self(tasks.collect())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// The task, if the execution has it.
    #[must_use]
    pub fn get(&self, key: TaskKey) -> Option<&Task> {
        self.0.get(key.node as usize).filter(|_| key.index == 0)
    }

    pub(crate) fn get_mut(&mut self, key: TaskKey) -> Option<&mut Task> {
        self.0.get_mut(key.node as usize).filter(|_| key.index == 0)
    }

    /// Their keys, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = TaskKey> + use<> {
        (0..self.count()).map(TaskKey::of)
    }

    /// The keys from one on, in order.
    pub(crate) fn keys_from(&self, from: TaskKey) -> impl Iterator<Item = TaskKey> + use<> {
        (from.node..self.count()).map(TaskKey::of)
    }

    /// All of them with their keys, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TaskKey, &Task)> {
        self.keys().zip(&self.0)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Task> {
        self.0.iter_mut()
    }
}

/// A key of this execution; any other is a bug, and there is no task to give.
impl Index<TaskKey> for Tasks {
    type Output = Task;

    fn index(&self, key: TaskKey) -> &Task {
        &self.0[key.node as usize]
    }
}

impl IndexMut<TaskKey> for Tasks {
    fn index_mut(&mut self, key: TaskKey) -> &mut Task {
        &mut self.0[key.node as usize]
    }
}

impl TaskRecord {
    /// Changes as a fact says that moves the task `to` a state.
    pub(crate) fn change(&mut self, fact: &Fact, to: TaskState, at: i64) {
        self.state = to;
        self.next_at = None;
        match fact {
            Fact::TaskScheduled { .. } => {
                self.scheduled_at.get_or_insert(at);
                self.ready_at = Some(at);
            }
            Fact::TaskStarted { worker, .. } => {
                self.leases += 1;
                self.started_at.get_or_insert(at);
                self.attempt_started_at = Some(at);
                self.worker = Some(Arc::clone(worker));
            }
            Fact::TaskRetrying { failure, next_at, .. } => {
                self.failure = Some(failure.clone());
                self.next_at = Some(*next_at);
            }
            Fact::TaskLost { failure, counted, .. } => {
                self.returned += u32::from(!planted(Bug::LossSpendsAttempt));
                self.infra_losses += u32::from(*counted);
                self.failure = Some(failure.clone());
                self.ready_at = Some(at);
            }
            Fact::TaskFinished { output, failure, .. } => {
                self.finished_at = Some(at);
                self.output.clone_from(output);
                self.failure.clone_from(failure);
            }
            _ => {}
        }
    }
}
