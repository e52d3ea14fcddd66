//! Taking shards in, giving them up, and losing them, with everything in memory that belongs to them.

use std::collections::BTreeSet;

use nexus_execution_store::{ExecutionId, LeaseKey, Silence};

use super::Core;
use crate::base::Now;
use crate::page::Mark;
use crate::shards::Holding;

impl Core {
    /// Takes a shard: from now on its executions may be revived.
    pub fn adopt(&mut self, shard: u16) {
        self.shards.adopt(shard);
    }

    /// Takes in what the owner before had noted of silent workers in shards that are being loaded.
    pub fn know_silences(&mut self, silences: Vec<Silence>, now: Now) {
        self.see(now);
        self.silences.know(silences, now.steady);
    }

    /// Answers calls for a shard whose executions are all here.
    pub fn serve(&mut self, shard: u16) {
        self.shards.serve(shard);
        self.silences.forget(shard);
    }

    /// Decides nothing new in a shard. What waits for its commit still gets it.
    pub fn leave(&mut self, shard: u16) {
        self.shards.leave(shard);
    }

    /// Whether everything that was decided in a shard is stored.
    #[must_use]
    pub fn is_settled(&self, shard: u16) -> bool {
        self.commits.is_settled(shard)
    }

    /// Lets shards go, with everything in memory that belongs to them. Whoever still waits for an answer is told to ask
    /// the new owner.
    pub fn disown(&mut self, shards: &BTreeSet<u16>) {
        for shard in shards {
            self.shards.drop(*shard);
        }
        let gone = |id: ExecutionId| shards.contains(&id.shard());
        let ids: Vec<ExecutionId> = self.executions.ids().filter(|id| gone(*id)).collect();
        for id in ids {
            self.forget(id);
        }
        self.leases.forget(gone);
        self.aside.forget(gone);
        self.keys.forget_of(gone);
        self.commits.forget(gone);
    }

    /// Puts a stored execution aside.
    pub fn put_aside(&mut self, id: ExecutionId, leases: Vec<LeaseKey>, reason: &str) {
        self.aside.put(id, leases, reason);
    }

    /// Shards with the stays in them.
    pub(crate) fn marks(&self, shards: &[u16]) -> Vec<Mark> {
        self.shards.marks(shards)
    }

    /// Whether a shard is still in the stay that it was marked with; see [`crate::shards::Shards::is_marked`].
    pub(crate) fn is_marked(&self, marks: &[Mark], shard: u16, late: bool) -> bool {
        self.shards.is_marked(marks, shard, late)
    }

    /// How a shard stands.
    #[must_use]
    pub fn holding(&self, shard: u16) -> Holding {
        self.shards.holding(shard)
    }

    /// Which stay in a shard this is, while calls for it are answered; 0 otherwise.
    #[must_use]
    pub fn stay(&self, shard: u16) -> u64 {
        self.shards.stay(shard)
    }
}

#[cfg(test)]
mod tests;
