//! The owner without the world around it: takes messages and the time, lets the engine decide, gathers what was decided
//! into batches, and says what is to be brought about. No I/O, no clock, no async: [`super::actor`] runs it in a
//! process, and the simulation runs it under virtual time with stores that fail and owners that die.
//!
//! Its parts own what they know and say what may be done with it; what it does with messages, a file a concern, stands
//! below it.

mod commands;
mod committing;
mod granting;
mod hearing;
mod holding;
mod recover;
mod release;

use std::sync::Arc;

use nexus_engine::planted::{Bug, planted};
use nexus_engine::{Command, Effect, Rejection, Timer, decide};
use nexus_execution_store::{ExecutionId, Fence, Ids};
use nexus_streams::Entry;

use super::admission::{Limits, Size, admit_waiting};
use super::aside::Aside;
use super::backlog::Backlogs;
pub use super::base::Now;
use super::broken::BrokenOnes;
use super::commits::{Commits, Release};
use super::executions::Executions;
use super::keys::Keys;
use super::leases::{LEASE, Leases};
use super::messages::{Message, OwnerError, TokenSubject};
pub use super::outputs::{Output, Stats};
use super::reconcile::Reconciler;
use super::seats::{NoSeats, Seats};
use super::sessions::Sessions;
use super::shards::Shards;
use super::silences::{SILENT, Silences};
use super::timers::Timers;
use crate::metrics;

pub use commands::MAX_LOG;
pub use recover::Recovered;

/// How often leases are looked over, and how often ready tasks that nobody took are offered again, in microseconds.
const PATROL: i64 = 2_500_000;
/// An owner that comes to itself so much later than it wanted, in microseconds, was frozen. Workers may have spoken
/// meanwhile and were not heard, so their silence proves nothing.
const FROZEN: i64 = 2_500_000;
/// Without anything to do the owner wakes this often, in microseconds.
const IDLE: i64 = 3_600_000_000;

/// The owner's state.
pub struct Core {
    ids: Ids,
    limits: Limits,
    now: Now,
    /// What is live, and what of it is to be stored.
    executions: Executions,
    commits: Commits,
    keys: Keys,
    /// What cannot go on for now, or for good.
    aside: Aside,
    broken: BrokenOnes,
    /// Who runs what, and what is known of them.
    leases: Leases,
    sessions: Sessions,
    silences: Silences,
    seats: Arc<dyn Seats>,
    /// A worker gets a lease once it is stored that it was given out, and a new owner takes leases over. Otherwise leases
    /// die with their owner.
    lasting_leases: bool,
    /// Where decisions are this owner's.
    shards: Shards,
    /// What comes with time.
    timers: Timers,
    reconciler: Reconciler,
    backlogs: Backlogs,
    next_patrol: i64,
    /// When it wants to be woken.
    wanted: i64,
    /// What it wants of the world.
    outputs: Vec<Output>,
    stats: Stats,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("live", &self.executions.len())
            .field("fence", &self.commits.fence())
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
            now,
            executions: Executions::default(),
            commits: Commits::new(fence),
            keys: Keys::default(),
            aside: Aside::default(),
            broken: BrokenOnes::default(),
            leases: Leases::default(),
            sessions: Sessions::default(),
            silences: Silences::default(),
            seats: Arc::new(NoSeats),
            lasting_leases: false,
            shards: Shards::all(),
            timers: Timers::default(),
            reconciler: Reconciler::default(),
            backlogs: Backlogs::default(),
            next_patrol: now.steady + PATROL,
            wanted: i64::MAX,
            outputs: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Lets it lease to workers that wait.
    #[must_use]
    pub fn with_seats(self, seats: Arc<dyn Seats>) -> Self {
        Self { seats, ..self }
    }

    /// Takes one message. What it leads to waits for the next commit, or stands among the outputs.
    pub fn handle(&mut self, message: Message, now: Now) {
        self.see(now);
        match message {
            Message::Start { new, reply } => self.begin(*new, reply),
            Message::Cancel {
                id,
                reason,
                note,
                reply,
            } => self.cancel(id, reason, note, reply),
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
        self.see(now);
        while let Some((id, timer)) = self.timers.take_due(now.steady) {
            self.fire(id, timer);
        }
        let lost = self.reconciler.lost_round(&self.executions);
        self.offer_again(lost);
        if now.steady >= self.next_patrol {
            self.next_patrol = now.steady + PATROL;
            self.patrol();
        }
    }

    /// Takes the time, and notes whether the owner was frozen. It may be at any moment, between two steps of a round as
    /// well as in its wait, so each step looks.
    fn see(&mut self, now: Now) {
        let expected = self.wanted.max(self.now.steady);
        if now.steady.saturating_sub(expected) > FROZEN {
            self.stats.frozen += 1;
            self.leases.extend_all(now.steady.saturating_add(LEASE));
        }
        self.now = now;
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
        let untaken = self.reconciler.round(&self.executions, self.now.wall);
        self.offer_again(untaken);
        self.backlogs.tell(self.executions.values(), self.now.wall);
        self.tell_silences();
    }

    /// The dispatcher lost what it had: everything ready is offered once more, from the next tick on.
    pub fn pointers_lost(&mut self) {
        self.reconciler.pointers_lost();
    }

    fn offer_again(&mut self, entries: Vec<Entry>) {
        if !entries.is_empty() {
            tracing::debug!(tasks = entries.len(), "ready tasks that nobody took are offered again");
            metrics::offered_again(entries.len());
            self.stats.offered_again += entries.len() as u64;
        }
        self.publish(entries);
    }

    /// Has it noted who fell silent, and who was heard of again.
    fn tell_silences(&mut self) {
        if !self.lasting_leases {
            return;
        }
        let silent = self.leases.silent(self.now.steady, SILENT);
        if !silent.is_empty() {
            self.outputs.push(Output::Silent(silent));
        }
        let heard = self.silences.take_heard();
        if !heard.is_empty() {
            self.outputs.push(Output::Heard(heard));
        }
    }

    /// Somebody else wrote: what is in memory is worth nothing. Nobody was told of what was not stored, so forgetting it
    /// is safe; callers that wait get an error and ask again. What is live is loaded anew under the new fence.
    pub fn start_over(&mut self, fence: Fence, now: Now) {
        let (ids, limits, lasting) = (self.ids.clone(), self.limits, self.lasting_leases);
        let (mut stays, seats) = (self.shards.clone(), Arc::clone(&self.seats));
        let (backlogs, sessions) = (std::mem::take(&mut self.backlogs), std::mem::take(&mut self.sessions));
        let broken = std::mem::take(&mut self.broken).seen();
        let anew = if lasting {
            Self::shared(fence, ids, limits, now)
        } else {
            Self::new(fence, ids, limits, now)
        };
        *self = Self {
            backlogs,
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
        self.see(now);
        if self.shards.trust(trusted) {
            // Workers may have asked meanwhile and were told nothing.
            self.leases.extend_all(now.steady.saturating_add(LEASE));
        }
    }

    /// When [`Core::tick`] or [`Core::begin_commit`] has something to do next, on the steady clock.
    #[must_use]
    pub fn next_wake(&mut self, now: Now) -> i64 {
        self.see(now);
        let mut wake = now.steady + IDLE;
        if !self.executions.is_empty() || !self.leases.is_empty() || !self.backlogs.is_quiet() {
            wake = self.next_patrol.max(now.steady);
        }
        if self.reconciler.has_lost() {
            wake = now.steady;
        }
        if let Some(at) = self.timers.next() {
            wake = wake.min(at.max(now.steady));
        }
        if let Some(due) = self.commits.due() {
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
        self.commits.fence()
    }

    /// Why everything in memory has to be loaded again, if it has to be.
    #[must_use]
    pub fn must_start_over(&self) -> Option<&str> {
        self.broken.news()
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

    /// Whether an execution of that size may be started now.
    fn admit(&self, new: Size) -> Result<(), OwnerError> {
        self.executions.admit(new, &self.limits)?;
        admit_waiting(self.commits.waiting(), self.commits.lag(self.now.steady), &self.limits)
    }

    /// Lets the engine decide, and takes note of what follows. The effects are the caller's to release.
    fn decide(&mut self, id: ExecutionId, command: Command, urgent: bool) -> Result<Vec<Effect>, Rejection> {
        if !self.shards.decides(id.shard()) {
            return Err(Rejection::Closed);
        }
        let live = self.executions.get_mut(id).ok_or(Rejection::Closed)?;
        let transition = decide(&mut live.execution, command, self.now.wall);
        if let Err(Rejection::Broken) = transition {
            let refused = live.execution.broken().map(ToString::to_string);
            self.broken.found(id, refused.as_deref());
        }
        let transition = transition?;
        self.executions.record(id, &transition);
        if !transition.events.is_empty() {
            self.commits.mark(id, urgent, self.now.steady);
        }
        Ok(transition.effects)
    }

    /// Lets effects wait for the commit of what led to them. Tasks for which workers wait are leased in that commit.
    fn release_later(&mut self, id: ExecutionId, effects: Vec<Effect>) {
        let effects = self.seat(id, effects);
        if planted(Bug::EffectBeforeCommit) {
            return self.release(vec![Release::Effects(id, effects, self.now)]);
        }
        self.commits.release_effects(id, effects, self.now);
    }

    fn fire(&mut self, id: ExecutionId, timer: Timer) {
        // A refusal means that the timer's subject has moved on.
        if let Ok(effects) = self.decide(id, Command::TimerFired(timer), true) {
            self.release_later(id, effects);
        }
    }

    /// Whether something of an execution is decided and not stored yet.
    fn is_unstored(&self, id: ExecutionId) -> bool {
        let waits = self.executions.get(id).is_some_and(|live| !live.events.is_empty());
        waits || self.commits.is_writing(id)
    }
}

#[cfg(test)]
mod tests;
