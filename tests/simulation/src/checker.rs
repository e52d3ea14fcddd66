//! Watches everything that is stored, leased and answered, and says which promise was broken. It knows the state only
//! from what the store accepted, and folds the history by itself.

mod commits;
mod feed;
mod finale;
mod leases;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use nexus_engine::{Execution, Plan, TaskKey};
use nexus_execution_store::ExecutionId;

pub use leases::Begun;

/// A task of an execution.
pub type TaskOf = (ExecutionId, TaskKey);

/// How an attempt ended, as its history tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// With this output.
    Succeeded(String),
    /// It failed, for the last time or not.
    Failed,
    /// It was lost or given back.
    Lost,
    /// It was ended by the execution's end, or for a person.
    Ended,
}

/// An execution as the store's history tells it.
pub(crate) struct Shadow {
    pub(crate) execution: Execution,
    /// The newest owner that wrote of it.
    pub(crate) epoch: i64,
    /// How each attempt ended.
    pub(crate) told: BTreeMap<(TaskKey, u32), Told>,
    /// Attempts that began, per task, as its history tells it.
    pub(crate) started: BTreeMap<TaskKey, u32>,
}

/// The checker.
pub struct Checker {
    pub(crate) shadows: BTreeMap<ExecutionId, Shadow>,
    pub(crate) plans: Vec<Arc<Plan>>,
    /// Executions that a client asked for.
    pub(crate) asked: HashMap<ExecutionId, String>,
    pub(crate) leases: leases::Leases,
    pub(crate) breaches: Vec<String>,
    /// Leases outlive their owner: an attempt has one lease, whoever owns it.
    pub(crate) lasting: bool,
}

impl Checker {
    /// A checker that knows the workflows by their names.
    #[must_use]
    pub fn new(plans: Vec<Arc<Plan>>) -> Self {
        Self {
            shadows: BTreeMap::new(),
            plans,
            asked: HashMap::new(),
            leases: leases::Leases::default(),
            breaches: Vec::new(),
            lasting: false,
        }
    }

    /// The owners under which a lease is worth something: one, or all of them.
    pub(crate) fn era(&self, epoch: i64) -> i64 {
        if self.lasting { 0 } else { epoch }
    }

    /// Notes a breach.
    pub fn breach(&mut self, invariant: &str, what: impl std::fmt::Display) {
        // One breach often leads to many; the first ones tell the story.
        if self.breaches.len() < 20 {
            self.breaches.push(format!("{invariant}: {what}"));
        }
    }

    pub(crate) fn require(&mut self, holds: bool, invariant: &str, what: impl FnOnce() -> String) {
        if !holds {
            self.breach(invariant, what());
        }
    }

    /// A client is about to ask for an execution with this id.
    pub fn asks(&mut self, id: ExecutionId, key: &str) {
        self.asked.insert(id, key.to_owned());
    }

    /// A client was told that its start is stored (I1).
    pub fn start_acknowledged(&mut self, id: ExecutionId) {
        let known = self.shadows.contains_key(&id);
        self.require(known, "I1 durable start", || {
            format!("{id} was acknowledged and is not stored")
        });
    }
}
