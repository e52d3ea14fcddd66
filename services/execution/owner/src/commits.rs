//! The group commit: what waits for the store, and what is on its way there. While one commit is in flight the next batch
//! gathers.

use std::collections::BTreeSet;

use nexus_engine::Effect;
use nexus_execution_store::{ExecutionId, Fence};

use super::base::Now;
use super::messages::Granted;
use super::seats::Seat;

/// Leases alone are no reason to commit at once; they ride along with the next commit, or go by themselves after this
/// many microseconds.
const LAZY: i64 = 25_000;
/// What happens once a commit is done.
pub(crate) enum Release {
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
struct Batch {
    executions: BTreeSet<ExecutionId>,
    releases: Vec<Release>,
    /// When the oldest decision in it was made.
    since: Option<i64>,
}

/// What waits for the next commit. Times are of the steady clock.
#[derive(Default)]
struct Pending {
    executions: BTreeSet<ExecutionId>,
    releases: Vec<Release>,
    urgent: bool,
    since: Option<i64>,
}

impl Pending {
    /// Notes that an execution has something to store; `urgent` when somebody waits for it.
    fn mark(&mut self, id: ExecutionId, urgent: bool, steady: i64) {
        self.executions.insert(id);
        self.urgent |= urgent;
        self.since.get_or_insert(steady);
    }

    fn release_effects(&mut self, id: ExecutionId, effects: Vec<Effect>, now: Now) {
        if !effects.is_empty() {
            self.releases.push(Release::Effects(id, effects, now));
            self.urgent = true;
            self.since.get_or_insert(now.steady);
        }
    }

    fn release_lazily(&mut self, id: ExecutionId, effects: Vec<Effect>, now: Now) {
        if !effects.is_empty() {
            self.releases.push(Release::Effects(id, effects, now));
        }
    }

    fn reply(&mut self, id: ExecutionId, reply: impl FnOnce() + Send + 'static, steady: i64) {
        self.releases.push(Release::Reply(id, Box::new(reply)));
        self.urgent = true;
        self.since.get_or_insert(steady);
    }

    /// A lease goes to its worker once it is stored.
    fn hand_out(&mut self, seat: Seat, lease: Granted) {
        self.releases.push(Release::Lease(seat, Box::new(lease)));
    }

    /// Whether something of a shard waits to be stored.
    fn holds(&self, shard: u16) -> bool {
        self.executions.iter().any(|id| id.shard() == shard)
    }

    /// Forgets what waits for executions that somebody else owns now. Callers hear that nobody answers.
    fn forget(&mut self, gone: impl Fn(ExecutionId) -> bool) {
        self.executions.retain(|id| !gone(*id));
        self.releases.retain(|release| !gone(release.execution()));
    }

    /// When a commit should begin: at once (the time when it was first wanted), later, or not at all.
    fn due(&self) -> Option<i64> {
        match self.since {
            Some(since) if self.urgent => Some(since),
            Some(since) if !self.executions.is_empty() => Some(since + LAZY),
            _ => None,
        }
    }

    fn since(&self) -> Option<i64> {
        self.since
    }

    fn waiting(&self) -> usize {
        self.releases.len()
    }

    fn take(&mut self) -> (BTreeSet<ExecutionId>, Vec<Release>, Option<i64>) {
        self.urgent = false;
        let since = self.since.take();
        (
            std::mem::take(&mut self.executions),
            std::mem::take(&mut self.releases),
            since,
        )
    }
}

/// The commits of an owner.
pub(crate) struct Commits {
    /// The proof of ownership that each shows.
    fence: Fence,
    pending: Pending,
    in_flight: Option<Batch>,
}

impl Commits {
    /// None yet.
    pub(crate) fn new(fence: Fence) -> Self {
        Self {
            fence,
            pending: Pending::default(),
            in_flight: None,
        }
    }

    pub(crate) fn fence(&self) -> Fence {
        self.fence
    }

    /// Notes that an execution has something to store; `urgent` when somebody waits for it.
    pub(crate) fn mark(&mut self, id: ExecutionId, urgent: bool, steady: i64) {
        self.pending.mark(id, urgent, steady);
    }

    /// Effects that are brought about once the commit is done.
    pub(crate) fn release_effects(&mut self, id: ExecutionId, effects: Vec<Effect>, now: Now) {
        self.pending.release_effects(id, effects, now);
    }

    /// The same for effects that are no reason for a commit.
    pub(crate) fn release_lazily(&mut self, id: ExecutionId, effects: Vec<Effect>, now: Now) {
        self.pending.release_lazily(id, effects, now);
    }

    /// Answers once the commit is done.
    pub(crate) fn reply(&mut self, id: ExecutionId, reply: impl FnOnce() + Send + 'static, steady: i64) {
        self.pending.reply(id, reply, steady);
    }

    /// A lease goes to its worker once it is stored.
    pub(crate) fn hand_out(&mut self, seat: Seat, lease: Granted) {
        self.pending.hand_out(seat, lease);
    }

    /// Whether a commit should begin: something is due and none is under way.
    pub(crate) fn is_due(&self, now: i64) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    /// When the next commit should begin; nothing while one is under way.
    pub(crate) fn due(&self) -> Option<i64> {
        self.pending.due().filter(|_| self.in_flight.is_none())
    }

    /// What waits is on its way from now on: the executions of which something is to be stored.
    pub(crate) fn begin(&mut self) -> &BTreeSet<ExecutionId> {
        let (executions, releases, since) = self.pending.take();
        let batch = Batch {
            executions,
            releases,
            since,
        };
        &self.in_flight.insert(batch).executions
    }

    /// What was on its way is stored: the executions that it was of, and what waited for it.
    pub(crate) fn end(&mut self) -> Option<(BTreeSet<ExecutionId>, Vec<Release>)> {
        let batch = self.in_flight.take()?;
        Some((batch.executions, batch.releases))
    }

    /// Forgets what waits for executions that somebody else owns now. Callers hear that nobody answers.
    pub(crate) fn forget(&mut self, gone: impl Fn(ExecutionId) -> bool) {
        self.pending.forget(gone);
    }

    /// Whether everything that was decided in a shard is stored.
    pub(crate) fn is_settled(&self, shard: u16) -> bool {
        let of_shard = |batch: &Batch| batch.executions.iter().any(|id| id.shard() == shard);
        !self.pending.holds(shard) && !self.in_flight.as_ref().is_some_and(of_shard)
    }

    /// Whether something of an execution is on its way.
    pub(crate) fn is_writing(&self, id: ExecutionId) -> bool {
        let carries = |batch: &Batch| batch.executions.contains(&id);
        self.in_flight.as_ref().is_some_and(carries)
    }

    /// For how long the oldest decision that is not stored yet has waited.
    pub(crate) fn lag(&self, steady: i64) -> i64 {
        let in_flight = self.in_flight.as_ref().and_then(|batch| batch.since);
        in_flight
            .or_else(|| self.pending.since())
            .map_or(0, |since| steady - since)
    }

    /// How many answers and effects wait for a commit.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.waiting() + self.in_flight.as_ref().map_or(0, |batch| batch.releases.len())
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
}
