//! The owner without the world around it: takes messages and the time, lets the engine decide, gathers what was decided
//! into batches, and says what is to be brought about. No I/O, no clock, no async: [`super::actor`] runs it in a
//! process, and the simulation runs it under virtual time with stores that fail and owners that die.

use std::collections::BTreeMap;
use std::sync::Arc;

use nexus_engine::planted::{Bug, planted};
use nexus_engine::{Command, Effect, Rejection, Timer, Transition, decide};
use nexus_execution_store::{Change, ExecutionId, Fence, Ids};

use super::admission::{Limits, Load};
use super::aside::Aside;
use super::backlog::Told;
use super::base::Map;
pub use super::base::Now;
use super::broken::BrokenOnes;
use super::commit::{Batch, Pending, Release};
use super::keys::Keys;
use super::leases::{LEASE, Leases};
use super::live::Live;
use super::messages::{Message, TokenSubject};
pub use super::outputs::{Output, Stats};
use super::seats::{NoSeats, Seats};
use super::sessions::Sessions;
use super::shards::Shards;
use super::timers::Timers;

/// How often leases are looked over, and how often ready tasks that nobody took are offered again, in microseconds.
const PATROL: i64 = 2_500_000;
/// An owner that comes to itself so much later than it wanted, in microseconds, was frozen. Workers may have spoken
/// meanwhile and were not heard, so their silence proves nothing.
const FROZEN: i64 = 2_500_000;
/// Without anything to do the owner wakes this often, in microseconds.
const IDLE: i64 = 3_600_000_000;

/// The owner's state.
pub struct Core {
    pub(super) ids: Ids,
    pub(super) limits: Limits,
    pub(super) load: Load,
    pub(super) executions: BTreeMap<ExecutionId, Live>,
    pub(super) pending: Pending,
    pub(super) timers: Timers,
    pub(super) leases: Leases,
    pub(super) keys: Keys,
    pub(super) outputs: Vec<Output>,
    pub(super) now: Now,
    pub(super) stats: Stats,
    /// Where the next round of offers begins.
    pub(super) offered_to: Option<ExecutionId>,
    pub(super) told: Told,
    pub(super) sessions: Sessions,
    pub(super) aside: Aside,
    /// Since when workers have been silent whose leases are about to be taken over, on the steady clock.
    pub(super) silences: Map<Arc<str>, i64>,
    /// Leases whose workers were heard of again after that had been noted otherwise.
    pub(super) heard: Vec<Arc<str>>,
    /// Where offering everything once more goes on, while it does.
    pub(super) lost_from: Option<ExecutionId>,
    /// When it wants to be woken.
    wanted: i64,
    pub(super) shards: Shards,
    /// Whether the membership is fresh enough to be sure that nobody else owns the shards.
    pub(super) trusted: bool,
    /// A worker gets a lease once it is stored that it was given out, and a new owner takes leases over. Otherwise leases
    /// die with their owner.
    pub(super) lasting_leases: bool,
    pub(super) seats: Arc<dyn Seats>,
    pub(super) broken: BrokenOnes,
    fence: Fence,
    in_flight: Option<Batch>,
    next_patrol: i64,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("live", &self.executions.len())
            .field("fence", &self.fence)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// An owner that shares the shards with others: it owns none yet.
    #[must_use]
    pub fn shared(fence: Fence, ids: Ids, limits: Limits, now: Now) -> Self {
        Self {
            shards: Shards::none(),
            lasting_leases: true,
            ..Self::new(fence, ids, limits, now)
        }
    }

    /// The only owner, of every shard, with the proof of that. Nothing is loaded yet.
    #[must_use]
    pub fn new(fence: Fence, ids: Ids, limits: Limits, now: Now) -> Self {
        Self {
            ids,
            limits,
            load: Load::default(),
            executions: BTreeMap::new(),
            pending: Pending::default(),
            timers: Timers::default(),
            leases: Leases::default(),
            keys: Keys::default(),
            outputs: Vec::new(),
            now,
            stats: Stats::default(),
            offered_to: None,
            told: Told::default(),
            sessions: Sessions::default(),
            aside: Aside::default(),
            silences: Map::default(),
            heard: Vec::new(),
            lost_from: None,
            wanted: i64::MAX,
            shards: Shards::all(),
            trusted: true,
            lasting_leases: false,
            seats: Arc::new(NoSeats),
            broken: BrokenOnes::default(),
            fence,
            in_flight: None,
            next_patrol: now.steady + PATROL,
        }
    }

    /// Lets it lease to workers that wait.
    #[must_use]
    pub fn with_seats(self, seats: Arc<dyn Seats>) -> Self {
        Self { seats, ..self }
    }

    /// Takes one message. What it leads to waits for the next commit, or stands among the outputs.
    pub fn handle(&mut self, message: Message, now: Now) {
        self.now = now;
        match message {
            Message::Start { new, reply } => self.begin(*new, reply),
            Message::Cancel { id, reason, reply } => self.cancel(id, reason, reply),
            Message::Grant {
                pointers,
                session,
                reply,
            } => self.grant(&pointers, &session, reply),
            Message::Report {
                reports,
                session,
                free_slots,
                reply,
            } => self.report(reports, &session, free_slots, reply),
            Message::Heartbeat {
                session,
                generation,
                tokens,
                reply,
            } => self.heartbeat(&session, generation, &tokens, reply),
            Message::Subjects { session, tokens, reply } => self.subjects(&session, &tokens, reply),
            Message::SessionClosed {
                session,
                generation,
                reason,
            } => self.session_closed(&session, generation, &reason),
            Message::SessionLives {
                session,
                generation,
                received,
            } => self.session_lives(&session, generation, received),
        }
    }

    /// Does what has become due.
    pub fn tick(&mut self, now: Now) {
        self.now = now;
        if now.steady.saturating_sub(self.wanted) > FROZEN {
            self.stats.frozen += 1;
            self.leases.extend_all(now.steady.saturating_add(LEASE));
        }
        while let Some((id, timer)) = self.timers.take_due(now.steady) {
            self.fire(id, timer);
        }
        self.offer_lost();
        if now.steady >= self.next_patrol {
            self.next_patrol = now.steady + PATROL;
            self.patrol();
        }
    }

    fn patrol(&mut self) {
        if !planted(Bug::LeaseNeverExpires) {
            for token in self.leases.expired(self.now.steady) {
                let reason = "the worker has not sent a heartbeat for the length of the lease";
                self.lose(&token, reason);
            }
        }
        for subject in self.leases.overdue(self.now.steady) {
            let TokenSubject {
                execution,
                task,
                attempt,
            } = subject;
            self.fire(execution, Timer::Attempt { task, attempt });
        }
        self.offer_again();
        self.tell_backlog();
        self.tell_silences();
    }

    /// Takes what waits as one batch, if there is any and no other is under way. The caller writes it and says how that
    /// ended: [`Core::committed`] or [`Core::start_over`].
    pub fn begin_commit(&mut self, now: Now) -> Option<(Fence, Vec<Change>)> {
        self.now = now;
        if self.broken.new.is_some()
            || self.in_flight.is_some()
            || self.pending.due().is_none_or(|due| due > now.steady)
        {
            return None;
        }
        Some(self.gather())
    }

    /// Takes what waits, due or not: the last batch before the end.
    pub fn last_commit(&mut self) -> (Fence, Vec<Change>) {
        if self.broken.new.is_some() {
            return (self.fence, Vec::new());
        }
        self.gather()
    }

    fn gather(&mut self) -> (Fence, Vec<Change>) {
        let (dirty, releases, since) = self.pending.take();
        let mut changes = Vec::with_capacity(dirty.len());
        for id in &dirty {
            let leases = &self.leases;
            if let Some(live) = self.executions.get_mut(id) {
                self.load.remove(live.size());
                changes.extend(live.take_change(|task| leases.key_of(*id, task)));
                self.load.add(live.size());
            }
        }
        self.in_flight = Some(Batch {
            executions: dirty,
            releases,
            since,
        });
        (self.fence, changes)
    }

    /// The batch is stored: now everybody may know, and its effects are brought about.
    pub fn committed(&mut self, now: Now) {
        self.now = now;
        let Some(batch) = self.in_flight.take() else { return };
        for id in &batch.executions {
            if let Some(live) = self.executions.get_mut(id) {
                live.writing.clear();
                let (sequence, over) = (live.written, live.written_over);
                self.outputs.push(Output::Stored {
                    id: *id,
                    sequence,
                    over,
                });
            }
        }
        self.release(batch.releases);
        for id in batch.executions {
            self.forget_if_done(id);
        }
    }

    /// Somebody else wrote: what is in memory is worth nothing. Nobody was told of what was not stored, so forgetting it
    /// is safe; callers that wait get an error and ask again. What is live is loaded anew under the new fence.
    pub fn start_over(&mut self, fence: Fence, now: Now) {
        let (ids, limits, lasting) = (self.ids.clone(), self.limits, self.lasting_leases);
        let (mut stays, seats) = (self.shards.clone(), Arc::clone(&self.seats));
        let (told, sessions) = (std::mem::take(&mut self.told), std::mem::take(&mut self.sessions));
        let broken = std::mem::take(&mut self.broken).seen();
        let anew = if lasting {
            Self::shared(fence, ids, limits, now)
        } else {
            Self::new(fence, ids, limits, now)
        };
        *self = Self {
            told,
            sessions,
            broken,
            ..anew.with_seats(seats)
        };
        stays.restart(&self.shards);
        self.shards = stays;
    }

    /// Whether the membership was renewed in time. While it was not, somebody else may own the shards: commits are
    /// refused then, and no worker is told to go on.
    pub fn trust(&mut self, trusted: bool, now: Now) {
        self.now = now;
        if trusted && !self.trusted {
            // Workers may have asked meanwhile and were told nothing.
            self.leases.extend_all(now.steady.saturating_add(LEASE));
        }
        self.trusted = trusted;
    }

    /// When [`Core::tick`] or [`Core::begin_commit`] has something to do next, on the steady clock.
    #[must_use]
    pub fn next_wake(&mut self, now: Now) -> i64 {
        let mut wake = now.steady + IDLE;
        if !self.executions.is_empty() || !self.leases.is_empty() || !self.told.is_quiet() {
            wake = self.next_patrol.max(now.steady);
        }
        if self.lost_from.is_some() {
            wake = now.steady;
        }
        if let Some(at) = self.timers.next() {
            wake = wake.min(at.max(now.steady));
        }
        if self.in_flight.is_none()
            && let Some(due) = self.pending.due()
        {
            wake = wake.min(due);
        }
        self.wanted = wake;
        wake
    }

    /// What is to be done outside, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// The proof that its commits show.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Whether there are other owners beside it.
    #[must_use]
    pub fn shares(&self) -> bool {
        self.lasting_leases
    }

    /// What it had to do besides the usual.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How many executions are in memory.
    #[must_use]
    pub fn live(&self) -> usize {
        self.executions.len()
    }

    /// Lets the engine decide, and takes note of what follows. The effects are the caller's to release.
    pub(super) fn decide(&mut self, id: ExecutionId, command: Command, urgent: bool) -> Result<Vec<Effect>, Rejection> {
        if !self.decides(id.shard()) {
            return Err(Rejection::Closed);
        }
        let live = self.executions.get_mut(&id).ok_or(Rejection::Closed)?;
        let transition: Transition = match decide(&mut live.execution, command, self.now.wall) {
            Err(Rejection::Broken) => return Err(self.is_broken(id)),
            decided => decided?,
        };
        self.load.add(live.record(&transition));
        if !transition.events.is_empty() {
            self.pending.mark(id, urgent, self.now.steady);
        }
        Ok(transition.effects)
    }

    /// Lets effects wait for the commit of what led to them. Tasks for which workers wait are leased in that commit.
    pub(super) fn release_later(&mut self, id: ExecutionId, effects: Vec<Effect>) {
        let effects = self.seat(id, effects);
        if planted(Bug::EffectBeforeCommit) {
            return self.release(vec![Release::Effects(id, effects, self.now)]);
        }
        self.pending.release_effects(id, effects, self.now);
    }

    fn fire(&mut self, id: ExecutionId, timer: Timer) {
        // A refusal means that the timer's subject has moved on.
        if let Ok(effects) = self.decide(id, Command::TimerFired(timer), true) {
            self.release_later(id, effects);
        }
    }

    /// Whether something of an execution is decided and not stored yet.
    pub(super) fn is_unstored(&self, id: ExecutionId) -> bool {
        let waits = self.executions.get(&id).is_some_and(|live| !live.events.is_empty());
        waits
            || self
                .in_flight
                .as_ref()
                .is_some_and(|batch| batch.executions.contains(&id))
    }

    /// Whether a commit under way carries something of a shard.
    pub(super) fn is_writing(&self, shard: u16) -> bool {
        let of_shard = |batch: &Batch| batch.executions.iter().any(|id| id.shard() == shard);
        self.in_flight.as_ref().is_some_and(of_shard)
    }

    /// When the oldest decision that is not stored yet was made, on the steady clock.
    pub(super) fn oldest_unstored(&self) -> Option<i64> {
        let in_flight = self.in_flight.as_ref().and_then(|batch| batch.since);
        in_flight.or_else(|| self.pending.since())
    }

    /// How many answers and effects wait for a commit.
    pub(super) fn waiting(&self) -> usize {
        self.pending.waiting() + self.in_flight.as_ref().map_or(0, |batch| batch.releases.len())
    }

    pub(super) fn ended(&mut self, live: &Live) {
        self.timers.forget(&live.timers);
        self.load.remove(live.size());
    }
}
