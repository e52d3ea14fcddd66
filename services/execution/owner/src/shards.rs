//! Which shards the owner holds, and what may be asked of them: taking one in, giving one up, and losing one.
//!
//! A shard is taken in two steps (its executions are loaded first, then calls are answered) and given up in two (nothing
//! new is decided and what was decided is stored, then memory lets it go and the next owner may come).

use std::collections::BTreeSet;

use nexus_execution_store::{ExecutionId, SHARDS};

use super::core::Core;

/// How a shard stands with this owner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Holding {
    /// It is another owner's, or nobody's.
    #[default]
    Foreign,
    /// It is this owner's, and its executions are being loaded.
    Loading,
    /// Calls are answered.
    Serving,
    /// Nothing new is decided; what was decided is being stored.
    Leaving,
}

/// How every shard stands.
#[derive(Debug, Clone)]
pub(super) struct Shards {
    holdings: [Holding; SHARDS as usize],
    /// How often each was taken in. A caller that looked something up in the store before names the stay that it saw.
    stays: [u64; SHARDS as usize],
}

impl Shards {
    /// Every one, for an owner that shares with nobody.
    pub(super) fn all() -> Self {
        Self {
            holdings: [Holding::Serving; SHARDS as usize],
            stays: [1; SHARDS as usize],
        }
    }

    pub(super) fn none() -> Self {
        Self {
            holdings: [Holding::Foreign; SHARDS as usize],
            stays: [0; SHARDS as usize],
        }
    }

    /// Stands as `new` does from now on; every stay is another one than before.
    pub(super) fn restart(&mut self, new: &Self) {
        self.holdings = new.holdings;
        for stay in &mut self.stays {
            *stay += 1;
        }
    }

    fn holding(&self, shard: u16) -> Holding {
        self.holdings.get(shard as usize).copied().unwrap_or_default()
    }

    fn set(&mut self, shard: u16, holding: Holding) {
        if let Some(place) = self.holdings.get_mut(shard as usize) {
            *place = holding;
        }
    }

    /// Which stay this is, while calls for the shard are answered; 0 otherwise.
    pub(super) fn stay(&self, shard: u16) -> u64 {
        match self.holding(shard) {
            Holding::Serving => self.stays.get(shard as usize).copied().unwrap_or_default(),
            _ => 0,
        }
    }
}

impl Core {
    /// Takes a shard: from now on its executions may be revived.
    pub fn adopt(&mut self, shard: u16) {
        self.shards.set(shard, Holding::Loading);
        if let Some(stay) = self.shards.stays.get_mut(shard as usize) {
            *stay += 1;
        }
    }

    /// Answers calls for a shard whose executions are all here.
    pub fn serve(&mut self, shard: u16) {
        if self.shards.holding(shard) == Holding::Loading {
            self.shards.set(shard, Holding::Serving);
        }
        self.forget_silences(shard);
    }

    /// Decides nothing new in a shard. What waits for its commit still gets it.
    pub fn leave(&mut self, shard: u16) {
        self.shards.set(shard, Holding::Leaving);
    }

    /// Whether everything that was decided in a shard is stored.
    #[must_use]
    pub fn is_settled(&self, shard: u16) -> bool {
        !self.pending.holds(shard) && !self.is_writing(shard)
    }

    /// Lets shards go, with everything in memory that belongs to them. Whoever still waits for an answer is told to ask
    /// the new owner.
    pub fn disown(&mut self, shards: &BTreeSet<u16>) {
        for shard in shards {
            self.shards.set(*shard, Holding::Foreign);
        }
        let gone = |id: ExecutionId| shards.contains(&id.shard());
        let ids: Vec<ExecutionId> = self.executions.keys().copied().filter(|id| gone(*id)).collect();
        for id in ids {
            if let Some(live) = self.executions.remove(&id) {
                self.ended(&live);
            }
        }
        self.leases.forget(gone);
        self.aside.forget(gone);
        self.keys.forget_of(gone);
        self.pending.forget(gone);
    }

    /// Shards with the stays in them.
    pub(super) fn marks(&self, shards: &[u16]) -> Vec<(u16, u64)> {
        let stay = |shard: &u16| self.shards.stays.get(*shard as usize).copied().unwrap_or_default();
        shards.iter().map(|shard| (*shard, stay(shard))).collect()
    }

    /// Whether a shard is being loaded, or may be served already where something comes late, and still in the stay that it
    /// was marked with.
    pub(super) fn is_marked(&self, marks: &[(u16, u64)], shard: u16, late: bool) -> bool {
        let holding = self.holding(shard);
        (holding == Holding::Loading || late && holding == Holding::Serving)
            && marks.contains(&(
                shard,
                self.shards.stays.get(shard as usize).copied().unwrap_or_default(),
            ))
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

    pub(super) fn serves(&self, shard: u16) -> bool {
        self.shards.holding(shard) == Holding::Serving
    }

    /// Whether something may be decided in a shard.
    pub(super) fn decides(&self, shard: u16) -> bool {
        matches!(self.shards.holding(shard), Holding::Loading | Holding::Serving)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_up_in_another_stay_starts_nothing() {
        let fence = nexus_execution_store::Fence {
            owner: uuid::Uuid::nil(),
            epoch: 1,
        };
        let now = super::super::base::Now { wall: 0, steady: 0 };
        let ids = nexus_execution_store::Ids::system();
        let mut core = Core::shared(fence, ids.clone(), super::super::Limits::default(), now);
        let id = ids.execution(None);
        let begin = |core: &mut Core, stay| {
            let (reply, mut answer) = tokio::sync::oneshot::channel();
            let plan = super::super::live::tests::live().execution.plan().clone();
            let new = super::super::NewExecution {
                kept: Vec::new(),
                id,
                namespace: nexus_api::Namespace::default(),
                plan,
                params: std::sync::Arc::default(),
                params_text: "{}".into(),
                labels: std::collections::BTreeMap::new(),
                traceparent: String::new(),
                request: None,
                stay,
            };
            let new = Box::new(new);
            core.handle(super::super::Message::Start { new, reply }, now);
            matches!(answer.try_recv(), Ok(Err(super::super::OwnerError::NotOwner(_))))
        };
        assert!(begin(&mut core, 0), "it owns nothing");
        core.adopt(id.shard());
        assert!(begin(&mut core, 1), "it is still loading");
        core.serve(id.shard());
        let seen = core.stay(id.shard());
        core.disown(&[id.shard()].into());
        core.adopt(id.shard());
        core.serve(id.shard());
        assert!(begin(&mut core, seen), "somebody else had it meanwhile");
        let stay = core.stay(id.shard());
        assert!(!begin(&mut core, stay));
        assert_eq!(core.live(), 1);
    }

    #[test]
    fn a_stay_is_told_while_calls_are_answered_and_grows_with_each() {
        let mut shards = Shards::none();
        assert_eq!(shards.stay(3), 0);
        shards.stays[3] += 1;
        shards.set(3, Holding::Loading);
        assert_eq!(shards.stay(3), 0);
        shards.set(3, Holding::Serving);
        assert_eq!(shards.stay(3), 1);
        assert_eq!(shards.holding(99), Holding::Foreign);
        assert_eq!(Shards::all().stay(63), 1);
    }
}
