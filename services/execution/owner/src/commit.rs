//! The group commit: what waits for the store, and what to do when the store fails.

use std::collections::BTreeSet;
use std::time::Duration;

use nexus_engine::Effect;
use nexus_engine::planted::{Bug, planted};
use nexus_execution_store::{ExecutionId, StoreError};
use nexus_storage::ErrorKind;

use super::base::Now;
use super::messages::Granted;
use super::seats::Seat;

/// Leases alone are no reason to commit at once; they ride along with the next commit, or go by themselves after this
/// many microseconds.
const LAZY: i64 = 25_000;
/// Wait before a batch is tried again, and the longest such wait; it doubles in between.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What happens once a commit is done.
pub(super) enum Release {
    /// Somebody waits for it, who asked about an execution.
    Reply(ExecutionId, Box<dyn FnOnce() + Send>),
    /// An execution's effects, and the time at which they were decided.
    Effects(ExecutionId, Vec<Effect>, Now),
    /// A lease for a worker whose slot was kept for it.
    Lease(Seat, Box<Granted>),
}

impl Release {
    fn execution(&self) -> ExecutionId {
        match self {
            Self::Reply(id, _) | Self::Effects(id, ..) => *id,
            Self::Lease(_, lease) => lease.execution,
        }
    }
}

/// What a commit under way carries.
pub(super) struct Batch {
    pub(super) executions: BTreeSet<ExecutionId>,
    pub(super) releases: Vec<Release>,
    /// When the oldest decision in it was made.
    pub(super) since: Option<i64>,
}

/// What waits for the next commit. Times are of the steady clock.
#[derive(Default)]
pub(super) struct Pending {
    executions: BTreeSet<ExecutionId>,
    releases: Vec<Release>,
    urgent: bool,
    since: Option<i64>,
}

impl Pending {
    /// Notes that an execution has something to store; `urgent` when somebody waits for it.
    pub(super) fn mark(&mut self, id: ExecutionId, urgent: bool, steady: i64) {
        self.executions.insert(id);
        self.urgent |= urgent;
        self.since.get_or_insert(steady);
    }

    pub(super) fn release_effects(&mut self, id: ExecutionId, effects: Vec<Effect>, now: Now) {
        if !effects.is_empty() {
            self.releases.push(Release::Effects(id, effects, now));
            self.urgent = true;
            self.since.get_or_insert(now.steady);
        }
    }

    pub(super) fn release_lazily(&mut self, id: ExecutionId, effects: Vec<Effect>, now: Now) {
        if !effects.is_empty() {
            self.releases.push(Release::Effects(id, effects, now));
        }
    }

    pub(super) fn reply(&mut self, id: ExecutionId, reply: impl FnOnce() + Send + 'static, steady: i64) {
        self.releases.push(Release::Reply(id, Box::new(reply)));
        self.urgent = true;
        self.since.get_or_insert(steady);
    }

    /// A lease goes to its worker once it is stored.
    pub(super) fn hand_out(&mut self, seat: Seat, lease: Granted) {
        self.releases.push(Release::Lease(seat, Box::new(lease)));
    }

    /// Whether something of a shard waits to be stored.
    pub(super) fn holds(&self, shard: u16) -> bool {
        self.executions.iter().any(|id| id.shard() == shard)
    }

    /// Forgets what waits for executions that somebody else owns now. Callers hear that nobody answers.
    pub(super) fn forget(&mut self, gone: impl Fn(ExecutionId) -> bool) {
        self.executions.retain(|id| !gone(*id));
        self.releases.retain(|release| !gone(release.execution()));
    }

    /// When a commit should begin: at once (the time when it was first wanted), later, or not at all.
    pub(super) fn due(&self) -> Option<i64> {
        match self.since {
            Some(since) if self.urgent => Some(since),
            Some(since) if !self.executions.is_empty() => Some(since + LAZY),
            _ => None,
        }
    }

    pub(super) fn since(&self) -> Option<i64> {
        self.since
    }

    pub(super) fn waiting(&self) -> usize {
        self.releases.len()
    }

    pub(super) fn take(&mut self) -> (BTreeSet<ExecutionId>, Vec<Release>, Option<i64>) {
        self.urgent = false;
        let since = self.since.take();
        (
            std::mem::take(&mut self.executions),
            std::mem::take(&mut self.releases),
            since,
        )
    }
}

/// What to do about a commit that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Write the same batch again after a while. What was decided is kept in memory, nobody has been told of it, and
    /// callers run into their deadlines. The store recognises a batch that it has already.
    Again(Duration),
    /// Somebody else has written: claim the shards and load everything.
    StartOver,
    /// Take it for done. Only a planted bug says so.
    Ignore,
}

/// What to do after a batch could not be written `tries` times, the first time being 1.
#[must_use]
pub fn remedy(error: &StoreError, tries: u32) -> Remedy {
    if planted(Bug::ErrorTakenForSuccess) {
        return Remedy::Ignore;
    }
    match error {
        StoreError::Fenced if planted(Bug::ZombieGoesOn) => Remedy::Ignore,
        // What is damaged or there twice will not be otherwise in a moment.
        StoreError::Database(error) if !matches!(error.kind(), ErrorKind::Duplicate | ErrorKind::Corrupt) => {
            let doubled = FIRST_WAIT * 2_u32.saturating_pow(tries.saturating_sub(1).min(16));
            Remedy::Again(doubled.min(LONGEST_WAIT))
        }
        _ => Remedy::StartOver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_ride_along_and_answers_go_at_once() {
        let id = ExecutionId(uuid::Uuid::nil());
        let mut pending = Pending::default();
        assert_eq!(pending.due(), None);
        pending.mark(id, false, 100);
        assert_eq!(pending.due(), Some(100 + LAZY));
        pending.reply(id, || {}, 200);
        assert_eq!(pending.due(), Some(100));
        let (executions, releases, since) = pending.take();
        assert_eq!((executions.len(), releases.len(), since), (1, 1, Some(100)));
        assert_eq!(pending.due(), None);
    }

    #[test]
    fn a_store_that_is_away_is_tried_again_and_a_lost_fence_is_not() {
        assert_eq!(remedy(&StoreError::Fenced, 1), Remedy::StartOver);
        let away = || {
            StoreError::Database(nexus_storage::Error::File {
                path: "execution.db".into(),
                source: std::io::Error::other("away"),
            })
        };
        assert_eq!(remedy(&away(), 1), Remedy::Again(FIRST_WAIT));
        assert_eq!(remedy(&away(), 100), Remedy::Again(LONGEST_WAIT));
    }
}
