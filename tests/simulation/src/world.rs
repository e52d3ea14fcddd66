//! The scheduler: one thing after another in the order of a virtual clock, everything by chance from one seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fastrand::Rng;
use nexus_execution_owner::core::Now;
use nexus_execution_owner::{Limits, Message, Verdict as Directive};
use nexus_execution_store::memory::MemoryStore;
use nexus_execution_store::{Ids, LeaseToken, SessionId, StoreError};
use nexus_streams::Entry;

use crate::Verdict;
use crate::checker::Checker;
use crate::clients::Client;
use crate::counts::Counts;
use crate::graphs;
use crate::owners::{Process, Waiting};
use crate::workers::Worker;

const SECOND: i64 = 1_000_000;
/// When the wall clock begins: some day in 2026.
const EPOCH: i64 = 1_790_000_000 * SECOND;
/// How long everything may take once the faults are over. The longest chain of attempts, waits and limits that a random
/// workflow can have is far shorter.
const QUIET: i64 = 3_600 * SECOND;
/// Steps of one simulation at most; more means that something goes round in circles.
const MAX_HAPPENINGS: u64 = 400_000;

/// Something that happens at a time.
pub enum Happening {
    /// A client takes its next step.
    Client(usize, u32),
    /// A client's start reaches the owner.
    Deliver(u64, Box<Message>, Option<Waiting>),
    /// An owner's wake-up.
    Tick(u64),
    /// A process loads what is live.
    Load(u64),
    /// A process looks for silent sessions.
    Sweep(u64),
    /// The store takes a batch.
    Apply(u64),
    /// The store's answer arrives.
    Written(u64, Result<(), StoreError>),
    /// A pointer reaches a dispatcher.
    Pointer(u64, Entry),
    /// A word to a worker arrives: session, lease, what to do.
    Direct(SessionId, LeaseToken, Directive),
    /// A worker looks for work or connects.
    Worker(usize),
    /// A worker's heartbeat is due; the number tells its lives apart.
    Heartbeat(usize, u64),
    /// An attempt at a worker is over.
    Ended(usize, LeaseToken),
    /// A replica where a worker's session was in an earlier generation says that it is over.
    ClosedLate(usize, u64, SessionId, u64),
    /// A worker that was stopped or dead goes on.
    Revive(usize),
    /// A process is started if none is there.
    Restart,
    /// Something breaks.
    Fault,
    /// From here on nothing breaks any more.
    Heal,
}

/// Everything there is.
pub struct World {
    pub seed: u64,
    pub rng: Rng,
    pub steady: i64,
    pub wall: i64,
    pub store: Arc<MemoryStore>,
    pub ids: Ids,
    pub limits: Limits,
    pub owners: Vec<Process>,
    /// The process that clients and workers find.
    pub active: u64,
    pub newest_epoch: i64,
    pub workers: Vec<Worker>,
    pub clients: Vec<Client>,
    pub checker: Checker,
    pub counts: Counts,
    /// Whether things break at present.
    pub stormy: bool,
    /// Leases outlive their owner, as where several replicas share the shards.
    pub lasting: bool,
    /// How often a session went on at another owner.
    pub generations: u64,
    /// Since when workers have been silent, as it is noted in the store.
    pub silences: BTreeMap<LeaseToken, i64>,
    queue: BTreeMap<(i64, u64), Happening>,
    numbers: u64,
    now_shared: Arc<AtomicI64>,
    tracing: bool,
}

impl World {
    /// A world from a seed.
    #[must_use]
    pub fn new(seed: u64, tracing: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plans = (0..rng.u32(1..4)).map(|number| graphs::plan(&mut rng, number));
        let plans: Vec<_> = plans.collect();
        let limits = Limits {
            slice: if rng.bool() {
                rng.usize(2..6)
            } else {
                nexus_engine::SLICE
            },
            executions: if rng.u32(0..4) == 0 { 3 } else { 1_000 },
            ..Limits::default()
        };
        let mut world = Self {
            seed,
            steady: 0,
            wall: EPOCH,
            store: Arc::default(),
            ids: Ids::from_seed(rng.u64(..)),
            limits,
            owners: Vec::new(),
            active: 0,
            newest_epoch: 0,
            workers: Vec::new(),
            clients: Vec::new(),
            checker: Checker::new(plans),
            counts: Counts::default(),
            stormy: true,
            lasting: false,
            generations: 0,
            silences: BTreeMap::new(),
            queue: BTreeMap::new(),
            numbers: 0,
            now_shared: Arc::default(),
            tracing,
            rng,
        };
        world.lasting = world.rng.bool();
        world.checker.begin(world.lasting, &world.store);
        world.populate();
        world
    }

    fn populate(&mut self) {
        self.start_owner();
        for number in 0..self.rng.usize(1..5) {
            self.add_worker(number);
        }
        for number in 0..self.rng.usize(2..10) {
            self.add_client(number);
        }
        // A tenth of the seeds has no faults at all: what goes wrong there is wrong by itself.
        self.stormy = self.rng.u32(0..10) > 0;
        if self.stormy {
            for _ in 0..self.rng.u32(0..12) {
                let at = self.rng.i64(0..50 * SECOND);
                self.at(at, Happening::Fault);
            }
        }
        let heal = self.rng.i64(5 * SECOND..60 * SECOND);
        self.at(heal, Happening::Heal);
    }

    /// Runs until everything has ended, or has had its time.
    #[must_use]
    pub fn run(mut self) -> Verdict {
        let mut limit = i64::MAX;
        while let Some(((at, _), happening)) = self.queue.pop_first() {
            self.steady = self.steady.max(at);
            self.now_shared.store(self.steady, Ordering::Relaxed);
            self.counts.happenings += 1;
            if matches!(happening, Happening::Heal) {
                limit = self.steady + QUIET;
            }
            self.happen(happening);
            let over = !self.stormy && self.clients_are_done() && self.checker.all_ended();
            if over || self.steady > limit || self.counts.happenings > MAX_HAPPENINGS {
                break;
            }
            // One breach is enough, and what follows from it may go on for ever.
            if !self.checker.breaches.is_empty() {
                break;
            }
        }
        if self.checker.breaches.is_empty() {
            self.finish();
        }
        Verdict {
            seed: self.seed,
            breaches: self.checker.breaches,
            counts: self.counts,
        }
    }

    fn finish(&mut self) {
        let acknowledged = self.acknowledged();
        let store = Arc::clone(&self.store);
        self.checker.finish(&store, &acknowledged);
        for client in self.unfinished_clients() {
            let what = format!("client {client} was never told that its execution had started");
            self.checker.breach("I2 liveness", what);
        }
        self.counts.executions += self.store.ids().len() as u64;
        for stats in self.owners.iter().map(|owner| owner.core.stats()).collect::<Vec<_>>() {
            self.count(stats);
        }
        self.nothing_is_left();
    }

    /// I12: what is left in the dispatcher is worth nothing, and an owner without work wakes for nothing.
    fn nothing_is_left(&mut self) {
        let (now, active) = (self.now(), self.active);
        let Some(owner) = self
            .owner(active)
            .filter(|owner| !owner.loading && owner.writing.is_none())
        else {
            return;
        };
        if owner.core.live() > 0 {
            let what = format!("the owner still holds {} executions that have ended", owner.core.live());
            return self.checker.breach("I12 nothing is left", what);
        }
        let mut sleep = owner.core.next_wake(now) - now.steady;
        if sleep < 60 * SECOND {
            // Once more, to say that the queues are empty.
            let last = Now {
                wall: now.wall + sleep,
                steady: now.steady + sleep,
            };
            owner.core.tick(last);
            sleep = owner.core.next_wake(last) - last.steady;
        }
        if sleep < 60 * SECOND {
            let what = format!("an owner without work wakes after {sleep} µs");
            self.checker.breach("I12 nothing is left", what);
        }
    }

    fn happen(&mut self, happening: Happening) {
        // A process that is stopped takes part in nothing until it goes on.
        if let Some(number) = of_owner(&happening)
            && let Some(until) = self.owner(number).map(|owner| owner.paused_until)
            && until > self.steady
        {
            return self.at(until, happening);
        }
        match happening {
            Happening::Client(client, turn) => self.client_step(client, turn),
            Happening::Deliver(number, message, waiting) => self.deliver(number, *message, waiting),
            Happening::Tick(number) => self.tick(number),
            Happening::Load(number) => self.load(number),
            Happening::Sweep(number) => self.sweep(number),
            Happening::Apply(number) => self.apply(number),
            Happening::Written(number, result) => self.written(number, result),
            Happening::Pointer(number, entry) => self.pointer_arrives(number, entry),
            Happening::Direct(session, token, verdict) => self.directed(&session, &token, verdict),
            Happening::Worker(worker) => self.worker_step(worker),
            Happening::Heartbeat(worker, life) => self.heartbeat(worker, life),
            Happening::Ended(worker, token) => self.attempt_ended(worker, &token),
            Happening::ClosedLate(worker, life, session, generation) => {
                self.closed_late(worker, life, session, generation);
            }
            Happening::Revive(worker) => self.revive_worker(worker),
            Happening::Restart => {
                let active = self.active;
                if self.owner(active).is_none() {
                    self.start_owner();
                }
            }
            Happening::Fault => self.fault(),
            Happening::Heal => self.heal(),
        }
    }

    /// Breaks something.
    fn fault(&mut self) {
        if !self.stormy {
            return;
        }
        let active = self.active;
        match self.rng.u32(0..14) {
            0..=2 => self.kill_owner(active),
            12 | 13 if self.lasting => self.begin_handover(active),
            3 | 4 => self.pause_owner(active),
            5 => {
                self.counts.clock_jumps += 1;
                let jump = self.rng.i64(-4_000..4_000) * SECOND;
                self.trace(|| format!("the wall clock jumps by {} s", jump / SECOND));
                self.wall += jump;
            }
            6 => {
                self.counts.dispatchers_wiped += 1;
                if let Some(owner) = self.owner(active) {
                    owner.dispatch = nexus_streams::MemoryDispatch::new(10_000);
                }
            }
            _ => self.fault_of_a_worker(),
        }
    }

    /// Stops a process; another one may take its place meanwhile.
    fn pause_owner(&mut self, number: u64) {
        let until = self.steady + self.rng.i64(SECOND / 10..30 * SECOND);
        let Some(owner) = self.owner(number) else { return };
        owner.paused_until = until;
        self.counts.owners_paused += 1;
        self.trace(|| format!("owner {number} is stopped"));
        if self.rng.bool() {
            self.active = 0;
            let wait = self.rng.i64(SECOND / 20..5 * SECOND);
            self.after(wait, Happening::Restart);
        }
    }

    fn heal(&mut self) {
        self.trace(|| "nothing breaks from here on".to_owned());
        self.stormy = false;
        for worker in 0..self.workers.len() {
            self.revive_worker(worker);
        }
        self.after(5 * SECOND, Happening::Restart);
    }

    pub fn at(&mut self, at: i64, happening: Happening) {
        self.numbers += 1;
        self.queue.insert((at.max(self.steady), self.numbers), happening);
    }

    pub fn after(&mut self, wait: i64, happening: Happening) {
        self.at(self.steady.saturating_add(wait), happening);
    }

    pub fn now(&self) -> Now {
        Now {
            wall: self.wall + self.steady,
            steady: self.steady,
        }
    }

    pub fn steady_clock(&self) -> Arc<dyn Fn() -> i64 + Send + Sync> {
        let now = Arc::clone(&self.now_shared);
        Arc::new(move || now.load(Ordering::Relaxed))
    }

    /// True in one of `odds` cases while things break.
    pub fn faulty(&mut self, odds: u32) -> bool {
        self.stormy && self.rng.u32(0..odds) == 0
    }

    /// How long a message takes.
    pub fn network(&mut self) -> i64 {
        if self.faulty(40) {
            self.rng.i64(100_000..2_000_000)
        } else {
            self.rng.i64(20..2_000)
        }
    }

    pub fn fresh_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub fn trace(&self, what: impl FnOnce() -> String) {
        if self.tracing {
            eprintln!("{:>12} {}", self.steady, what());
        }
    }
}

/// The process that something happens to.
fn of_owner(happening: &Happening) -> Option<u64> {
    match happening {
        Happening::Deliver(number, ..)
        | Happening::Tick(number)
        | Happening::Load(number)
        | Happening::Sweep(number)
        | Happening::Written(number, _)
        | Happening::Pointer(number, _) => Some(*number),
        // The store works on while its client sleeps.
        _ => None,
    }
}
