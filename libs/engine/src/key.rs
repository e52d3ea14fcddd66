//! Which task of an execution: a node of the plan, and which of the tasks that come of that node.

use std::fmt;

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
