//! Which task of an execution: a node of the plan, and which of the tasks that come of that node.

use std::fmt;
use std::ops::{Index, IndexMut};

use crate::execution::Task;

/// A task of an execution. Today one task comes of each node, with index 0; a node that fans out over data will have more.
/// In stores, tokens and words between replicas a task with index 0 is its node's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    /// Position of the node in the plan.
    pub node: u32,
    /// Which of the node's tasks.
    pub index: u32,
}

impl TaskKey {
    /// The only task of a node.
    #[must_use]
    pub const fn of(node: u32) -> Self {
        Self { node, index: 0 }
    }

    /// The number by which stores, tokens and words between replicas know the task. As long as one task comes of each node
    /// that is the node's; others will be numbered behind the plan's nodes, so that what is stored stays right.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.node
    }

    /// The task with a number.
    #[must_use]
    pub const fn numbered(number: u32) -> Self {
        Self::of(number)
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            0 => write!(f, "{}", self.node),
            index => write!(f, "{}[{index}]", self.node),
        }
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
