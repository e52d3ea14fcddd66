//! Which shards the owner holds, and what may be asked of them: taking one in, giving one up, and losing one.
//!
//! A shard is taken in two steps (its executions are loaded first, then calls are answered) and given up in two (nothing
//! new is decided and what was decided is stored, then memory lets it go and the next owner may come).

use nexus_execution_store::SHARDS;

use super::page::Mark;

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
pub(crate) struct Shards {
    holdings: [Holding; SHARDS as usize],
    /// How often each was taken in. A caller that looked something up in the store before names the stay that it saw.
    stays: [u64; SHARDS as usize],
    /// Whether the membership is fresh enough to be sure that nobody else owns the shards.
    trusted: bool,
}

impl Shards {
    /// Every one, for an owner that shares with nobody.
    pub(crate) fn all() -> Self {
        Self {
            holdings: [Holding::Serving; SHARDS as usize],
            stays: [1; SHARDS as usize],
            trusted: true,
        }
    }

    pub(crate) fn none() -> Self {
        Self {
            holdings: [Holding::Foreign; SHARDS as usize],
            stays: [0; SHARDS as usize],
            trusted: true,
        }
    }

    /// Stands as `new` does from now on; every stay is another one than before.
    pub(crate) fn restart(&mut self, new: &Self) {
        self.holdings = new.holdings;
        self.trusted = new.trusted;
        for stay in &mut self.stays {
            *stay += 1;
        }
    }

    pub(crate) fn holding(&self, shard: u16) -> Holding {
        self.holdings.get(shard as usize).copied().unwrap_or_default()
    }

    fn set(&mut self, shard: u16, holding: Holding) {
        if let Some(place) = self.holdings.get_mut(shard as usize) {
            *place = holding;
        }
    }

    /// Which stay this is, while calls for the shard are answered; 0 otherwise.
    pub(crate) fn stay(&self, shard: u16) -> u64 {
        match self.holding(shard) {
            Holding::Serving => self.stays.get(shard as usize).copied().unwrap_or_default(),
            _ => 0,
        }
    }

    /// Takes a shard: from now on its executions may be revived.
    pub(crate) fn adopt(&mut self, shard: u16) {
        self.set(shard, Holding::Loading);
        if let Some(stay) = self.stays.get_mut(shard as usize) {
            *stay += 1;
        }
    }

    /// Answers calls for a shard whose executions are all here.
    pub(crate) fn serve(&mut self, shard: u16) {
        if self.holding(shard) == Holding::Loading {
            self.set(shard, Holding::Serving);
        }
    }

    /// Decides nothing new in a shard.
    pub(crate) fn leave(&mut self, shard: u16) {
        self.set(shard, Holding::Leaving);
    }

    /// Lets a shard go.
    pub(crate) fn drop(&mut self, shard: u16) {
        self.set(shard, Holding::Foreign);
    }

    /// Shards with the stays in them.
    pub(crate) fn marks(&self, shards: &[u16]) -> Vec<Mark> {
        let stay = |shard: &u16| self.stays.get(*shard as usize).copied().unwrap_or_default();
        shards.iter().map(|shard| (*shard, stay(shard))).collect()
    }

    /// Whether a shard is being loaded, or may be served already where something comes late, and still in the stay that it
    /// was marked with.
    pub(crate) fn is_marked(&self, marks: &[Mark], shard: u16, late: bool) -> bool {
        let holding = self.holding(shard);
        let stay = self.stays.get(shard as usize).copied().unwrap_or_default();
        (holding == Holding::Loading || late && holding == Holding::Serving) && marks.contains(&(shard, stay))
    }

    pub(crate) fn serves(&self, shard: u16) -> bool {
        self.holding(shard) == Holding::Serving
    }

    /// Whether something may be decided in a shard.
    pub(crate) fn decides(&self, shard: u16) -> bool {
        matches!(self.holding(shard), Holding::Loading | Holding::Serving)
    }

    /// Says whether the membership was renewed in time; true when it was not before and is now.
    pub(crate) fn trust(&mut self, trusted: bool) -> bool {
        let again = trusted && !self.trusted;
        self.trusted = trusted;
        again
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
