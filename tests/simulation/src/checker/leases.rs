//! What every lease, begin and acknowledgement must hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nexus_engine::{Outcome, TaskKey, TaskState};
use nexus_execution_owner::Granted;
use nexus_execution_store::{ExecutionId, LeaseToken};
use nexus_spec::model::Delivery;

use super::{Checker, TaskOf, Told};

/// An attempt at a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Its lease.
    pub token: LeaseToken,
    /// The execution.
    pub execution: ExecutionId,
    /// Position of the task.
    pub task: TaskKey,
    /// The attempt's number.
    pub attempt: u32,
    /// The owner that gave the lease.
    pub epoch: i64,
}

/// What is known of leases.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// The token of each attempt, by the epoch of the owner that leased it.
    granted: HashMap<(ExecutionId, TaskKey, u32, i64), LeaseToken>,
    /// Tokens that a worker began.
    begun: BTreeSet<LeaseToken>,
    /// Tasks with `at_most_once` that began and were not given back or reported failed since.
    once: BTreeSet<TaskOf>,
    /// Outputs that workers reported, by attempt and the epoch of the lease.
    reported: BTreeMap<(ExecutionId, TaskKey, u32, i64), BTreeSet<String>>,
}

impl Leases {
    pub(crate) fn reported(&self, id: ExecutionId, task: TaskKey, attempt: u32, epoch: i64, output: &str) -> bool {
        let outputs = self.reported.get(&(id, task, attempt, epoch));
        outputs.is_some_and(|outputs| outputs.contains(output))
    }

    /// The attempt before failed, and that is stored.
    pub(crate) fn may_begin_again(&mut self, id: ExecutionId, task: TaskKey) {
        self.once.remove(&(id, task));
    }
}

impl Checker {
    /// The owner gave a lease. `current` when no newer owner has claimed the shards.
    pub fn granted(&mut self, lease: &Granted, epoch: i64, current: bool) {
        let (id, task, attempt) = (lease.execution, lease.task, lease.attempt);
        let place = (id, task, attempt, self.era(epoch));
        let other = self.leases.granted.insert(place, lease.token.clone());
        self.require(other.is_none(), "I3 unique grant", || {
            format!("{id}: task {task} attempt {attempt} was leased twice")
        });
        if !current {
            return;
        }
        let standing = self.shadows.get(&id).map(|shadow| {
            let task = &shadow.execution.tasks()[task];
            (task.state, task.leases)
        });
        // Its being ready is stored; that it was given out may follow (it rides with the next commit), and it may have
        // been lost again since.
        let fits = match standing {
            Some((TaskState::Scheduled, leases)) => leases + 1 >= attempt,
            Some((_, leases)) => leases >= attempt,
            None => false,
        };
        self.require(fits, "I6 effects follow commits", || {
            format!("{id}: task {task} attempt {attempt} was leased while the store has {standing:?}")
        });
        if lease.plan.task(task).delivery == Delivery::AtMostOnce {
            let stored = standing.is_some_and(|(_, leases)| leases >= attempt);
            self.require(stored, "G4 at most once", || {
                format!("{id}: task {task} attempt {attempt} was given out before that was stored")
            });
        }
    }

    /// A worker begins an attempt.
    pub fn begins(&mut self, begun: &Begun, delivery: Delivery) {
        let (id, task) = (begun.execution, begun.task);
        let first = self.leases.begun.insert(begun.token.clone());
        self.require(first, "I3 unique grant", || {
            format!("{id}: a lease of task {task} began twice")
        });
        if delivery == Delivery::AtMostOnce {
            let first = self.leases.once.insert((id, task));
            self.require(first, "G4 at most once", || {
                format!(
                    "{id}: task {task} with at_most_once began again in attempt {}",
                    begun.attempt
                )
            });
        }
    }

    /// A worker gives an attempt back that it never began.
    pub fn not_started(&mut self, begun: &Begun) {
        self.leases.once.remove(&(begun.execution, begun.task));
    }

    /// A worker reports; also such reports count that never arrive.
    pub fn reports(&mut self, begun: &Begun, outcome: &Outcome) {
        if let Outcome::Succeeded(output) = outcome {
            let place = (begun.execution, begun.task, begun.attempt, self.era(begun.epoch));
            let outputs = self.leases.reported.entry(place).or_default();
            outputs.insert(output.text().to_string());
        }
    }

    /// The owner says that it has recorded a report (I8): then the store has it.
    pub fn report_accepted(&mut self, begun: &Begun, outcome: &Outcome) {
        let (id, task, attempt) = (begun.execution, begun.task, begun.attempt);
        let told = self
            .shadows
            .get(&id)
            .and_then(|shadow| shadow.told.get(&(task, attempt)).cloned());
        let fits = match (outcome, &told) {
            (_, None) => false,
            (Outcome::Succeeded(output), Some(Told::Succeeded(text))) => **output.text() == **text,
            (Outcome::Succeeded(_), _) | (_, Some(Told::Succeeded(_))) => false,
            (_, Some(_)) => true,
        };
        self.require(fits, "I8 acknowledged is recorded", || {
            format!("{id}: task {task} attempt {attempt}: {outcome:?} was acknowledged, the store has {told:?}")
        });
    }
}
