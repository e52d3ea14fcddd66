//! The live executions, and how large they are together.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use nexus_engine::{TaskKey, Transition};
use nexus_execution_store::{Change, ExecutionId, LeaseKey};

use super::admission::{Limits, Load, Size};
use super::live::Live;
use super::messages::OwnerError;

/// The live executions by their ids.
#[derive(Debug, Default)]
pub(crate) struct Executions {
    live: BTreeMap<ExecutionId, Live>,
    load: Load,
}

impl Executions {
    /// Whether one of that size may be taken in.
    pub(crate) fn admit(&self, new: Size, limits: &Limits) -> Result<(), OwnerError> {
        self.load.admit(new, self.live.len(), limits)
    }

    pub(crate) fn insert(&mut self, live: Live) {
        self.load.add(live.size());
        self.live.insert(live.id, live);
    }

    pub(crate) fn remove(&mut self, id: ExecutionId) -> Option<Live> {
        let live = self.live.remove(&id)?;
        self.load.remove(live.size());
        Some(live)
    }

    pub(crate) fn get(&self, id: ExecutionId) -> Option<&Live> {
        self.live.get(&id)
    }

    /// For all but what changes its size: that goes by [`Self::record`] and [`Self::take_change`].
    pub(crate) fn get_mut(&mut self, id: ExecutionId) -> Option<&mut Live> {
        self.live.get_mut(&id)
    }

    /// Takes note of what was decided about one.
    pub(crate) fn record(&mut self, id: ExecutionId, transition: &Transition) {
        if let Some(live) = self.live.get_mut(&id) {
            self.load.add(live.record(transition));
        }
    }

    /// What the store lacks of one, if something; from then on it counts as written. `leased` tells the lease of a task.
    pub(crate) fn take_change(
        &mut self,
        id: ExecutionId,
        leased: impl Fn(TaskKey) -> Option<LeaseKey>,
    ) -> Option<Change> {
        let live = self.live.get_mut(&id)?;
        self.load.remove(live.size());
        let change = live.take_change(leased);
        self.load.add(live.size());
        change
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ExecutionId> {
        self.live.keys().copied()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Live> {
        self.live.values()
    }

    pub(crate) fn range(&self, range: impl RangeBounds<ExecutionId>) -> impl Iterator<Item = (&ExecutionId, &Live)> {
        self.live.range(range)
    }
}
