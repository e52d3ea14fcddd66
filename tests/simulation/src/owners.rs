//! Owners as processes: they take messages, write batches over a store that fails, die between a commit and its effects,
//! sleep and wake as zombies.

use std::sync::Arc;

use nexus_execution_owner::core::{Core, Output, Stats};
use nexus_execution_owner::seats::Seats;
use nexus_execution_owner::{Grants, Message, OwnerError, Reported, Started, Verdict};
use nexus_execution_sessions::Sessions;
use nexus_execution_store::{Change, Fence, LeaseToken, SHARDS, Silence};
use nexus_streams::{Dispatch, Entry, MemoryDispatch};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::seats::Kept;
use crate::world::{Happening, World};

/// Pointers that a dispatcher holds at most.
const DISPATCH: usize = 10_000;
/// How often a process looks for silent sessions.
const SWEEP: i64 = 3_000_000;

/// A batch on its way.
pub struct Writing {
    pub fence: Fence,
    pub changes: Vec<Change>,
    pub tries: u32,
}

/// Somebody who waits for an answer.
pub enum Waiting {
    Start(usize, oneshot::Receiver<Result<Started, OwnerError>>),
    Cancel(oneshot::Receiver<Result<(), OwnerError>>),
    Grant(usize, u64, oneshot::Receiver<Grants>),
    Report(usize, u64, Vec<LeaseToken>, oneshot::Receiver<Reported>),
    Heartbeat(usize, u64, Vec<LeaseToken>, oneshot::Receiver<Vec<Verdict>>),
}

/// An owner's process with what lives and dies with it.
pub struct Process {
    pub number: u64,
    pub core: Core,
    pub epoch: i64,
    pub sessions: Sessions,
    pub dispatch: MemoryDispatch,
    pub waiting: Vec<Waiting>,
    pub seats: Arc<Kept>,
    pub writing: Option<Writing>,
    /// Until when it is stopped.
    pub paused_until: i64,
    /// It has claimed the shards and not yet loaded what is live.
    pub loading: bool,
    /// It gives its shards up, and ends once everything is stored.
    pub leaving: bool,
    pub tick_at: i64,
}

impl World {
    /// Starts a process: it claims the shards at once and loads a little later.
    pub fn start_owner(&mut self) {
        let number = self.fresh_number();
        let owner = self.ids.random();
        let fence = self.store.claim_now(owner);
        self.newest_epoch = self.newest_epoch.max(fence.epoch);
        let steady = self.steady_clock();
        let seats = Arc::<Kept>::default();
        let process = Process {
            number,
            core: self.core(fence).with_seats(Arc::clone(&seats) as Arc<dyn Seats>),
            seats,
            epoch: fence.epoch,
            sessions: Sessions::new(steady),
            dispatch: MemoryDispatch::new(DISPATCH),
            waiting: Vec::new(),
            writing: None,
            paused_until: 0,
            loading: true,
            leaving: false,
            tick_at: i64::MAX,
        };
        self.trace(|| format!("owner {number} claims epoch {}", fence.epoch));
        self.owners.push(process);
        self.active = number;
        let wait = self.rng.i64(1_000..300_000);
        self.after(wait, Happening::Load(number));
        self.after(SWEEP, Happening::Sweep(number));
    }

    /// A core that owns every shard: alone, or by having taken them one by one.
    fn core(&self, fence: Fence) -> Core {
        if !self.lasting {
            return Core::new(fence, self.ids.clone(), self.limits, self.now());
        }
        let mut core = Core::shared(fence, self.ids.clone(), self.limits, self.now());
        (0..SHARDS).for_each(|shard| core.adopt(shard));
        core
    }

    /// An owner begins to give its shards up: nothing new is decided, and what was decided is still stored.
    pub fn begin_handover(&mut self, number: u64) {
        let Some(owner) = self.owner(number) else { return };
        if owner.loading || owner.leaving {
            return;
        }
        owner.leaving = true;
        (0..SHARDS).for_each(|shard| owner.core.leave(shard));
        self.counts.handovers += 1;
        self.trace(|| format!("owner {number} gives its shards up"));
        self.pump(number);
    }

    /// Lets the next owner come once everything is stored.
    fn end_handover(&mut self, number: u64) {
        let Some(owner) = self.owner(number).filter(|owner| owner.leaving) else {
            return;
        };
        if (0..SHARDS).all(|shard| owner.core.is_settled(shard)) {
            owner.core.disown(&(0..SHARDS).collect());
            let left = owner.core.live();
            self.trace(|| format!("owner {number} has given its shards up"));
            if left > 0 {
                let what = format!("{left} executions are left in an owner without shards");
                self.checker.breach("I12 nothing is left", what);
            }
            self.remove_owner(number);
        }
    }

    pub fn owner(&mut self, number: u64) -> Option<&mut Process> {
        self.owners.iter_mut().find(|owner| owner.number == number)
    }

    /// Takes what is stored into memory.
    pub fn load(&mut self, number: u64) {
        let (open, now) = (self.store.open_now(), self.now());
        let plans = self.checker.plans.clone();
        let steady = self.steady;
        let since = self.silences.iter();
        let silences = since.map(|(token, since)| Silence {
            token: token.clone(),
            age: steady - since,
        });
        let silences: Vec<Silence> = silences.collect();
        let Some(owner) = self.owner(number) else { return };
        owner.core.know_silences(silences, now);
        let mut recovered = nexus_execution_owner::Recovered::default();
        let mut broken = Vec::new();
        for (row, tasks) in open {
            let plan = plans.iter().find(|plan| plan.workflow == row.workflow).cloned();
            let plan = plan.unwrap_or_else(|| plans[0].clone());
            let id = row.id;
            if let Err(error) = owner.core.revive(row, tasks, plan, &mut recovered, now) {
                broken.push(format!("{id} cannot be revived: {error}"));
            }
        }
        owner.loading = false;
        (0..SHARDS).for_each(|shard| owner.core.serve(shard));
        for broken in broken {
            self.checker.breach("I10 rows are the fold of the history", broken);
        }
        self.trace(|| format!("owner {number} loaded {recovered:?}"));
        self.pump(number);
    }

    /// Sends a message to an owner; it arrives after a while, if the owner lives by then.
    pub fn send(&mut self, number: u64, message: Message, waiting: Option<Waiting>) {
        let wait = self.network();
        self.after(wait, Happening::Deliver(number, Box::new(message), waiting));
    }

    pub fn deliver(&mut self, number: u64, message: Message, waiting: Option<Waiting>) {
        let now = self.now();
        self.keep_seats(number);
        match self.owner(number) {
            Some(owner) if !owner.loading => {
                owner.core.handle(message, now);
                owner.waiting.extend(waiting);
                self.pump(number);
            }
            _ => {
                // Nobody is there: whoever waits learns it.
                drop(message);
                drop(waiting.and_then(|waiting| self.poll(waiting, 0)));
            }
        }
    }

    pub fn tick(&mut self, number: u64) {
        let now = self.now();
        self.keep_seats(number);
        let Some(owner) = self.owner(number) else { return };
        owner.tick_at = i64::MAX;
        if !owner.loading {
            owner.core.tick(now);
        }
        self.pump(number);
    }

    /// Does what the core wants done, begins its next commit, and passes its answers on.
    pub fn pump(&mut self, number: u64) {
        let now = self.now();
        let Some(owner) = self.owner(number) else { return };
        if owner.loading {
            return;
        }
        let outputs = owner.core.take_outputs();
        if owner.writing.is_none()
            && let Some((fence, changes)) = owner.core.begin_commit(now)
        {
            owner.writing = Some(Writing {
                fence,
                changes,
                tries: 0,
            });
            self.submit(number);
        }
        for output in outputs {
            self.bring_about(number, output);
        }
        self.answer(number);
        self.end_handover(number);
        let steady = self.steady;
        let Some(owner) = self.owner(number) else { return };
        let wake = owner.core.next_wake(now).max(steady + 1);
        if wake < owner.tick_at {
            owner.tick_at = wake;
            self.at(wake, Happening::Tick(number));
        }
    }

    fn bring_about(&mut self, number: u64, output: Output) {
        match output {
            Output::Publish(entries) => {
                for entry in entries {
                    self.publish(number, entry);
                }
            }
            Output::Direct {
                session,
                token,
                verdict,
            } => {
                if self.faulty(20) {
                    self.counts.answers_lost += 1;
                    return;
                }
                let wait = self.network();
                self.after(wait, Happening::Direct(session, token, verdict));
            }
            Output::Lease { seat, lease } => self.hand_in(number, seat, *lease),
            Output::Silent(silences) => {
                self.counts.silences += silences.len() as u64;
                let now = self.steady;
                for silence in silences {
                    self.silences.entry(silence.token).or_insert(now - silence.age);
                }
            }
            Output::Heard(tokens) => {
                for token in tokens {
                    self.silences.remove(&token);
                }
            }
            Output::Stored { .. } => {}
        }
    }

    /// A pointer on its way: it may be lost, doubled, and overtaken.
    fn publish(&mut self, number: u64, entry: Entry) {
        if self.faulty(12) {
            self.counts.pointers_lost += 1;
            return;
        }
        if self.faulty(12) {
            self.counts.pointers_doubled += 1;
            let late = self.rng.i64(1_000..20_000_000);
            self.after(late, Happening::Pointer(number, entry.clone()));
        }
        let wait = self.network();
        self.after(wait, Happening::Pointer(number, entry));
    }

    pub fn pointer_arrives(&mut self, number: u64, entry: Entry) {
        let Some(owner) = self.owner(number) else { return };
        drop(futures::executor::block_on(owner.dispatch.publish(vec![entry])));
        self.wake_workers();
    }

    /// Passes on the answers that are there.
    pub fn answer(&mut self, number: u64) {
        let Some(owner) = self.owner(number) else { return };
        let epoch = owner.epoch;
        let waiting = std::mem::take(&mut owner.waiting);
        let mut rest = Vec::with_capacity(waiting.len());
        for waiting in waiting {
            if let Some(waiting) = self.poll(waiting, epoch) {
                rest.push(waiting);
            }
        }
        if let Some(owner) = self.owner(number) {
            owner.waiting.extend(rest);
        }
    }

    fn poll(&mut self, waiting: Waiting, epoch: i64) -> Option<Waiting> {
        match waiting {
            Waiting::Start(client, mut answer) => match answer.try_recv() {
                Err(TryRecvError::Empty) => return Some(Waiting::Start(client, answer)),
                answer => self.start_answered(client, answer.ok()),
            },
            Waiting::Cancel(mut answer) => {
                // That it was cancelled is checked where it is stored.
                if matches!(answer.try_recv(), Err(TryRecvError::Empty)) {
                    return Some(Waiting::Cancel(answer));
                }
            }
            Waiting::Grant(worker, life, mut answer) => match answer.try_recv() {
                Err(TryRecvError::Empty) => return Some(Waiting::Grant(worker, life, answer)),
                answer => self.grant_answered(worker, life, answer.unwrap_or_default().granted, epoch),
            },
            Waiting::Report(worker, life, tokens, mut answer) => match answer.try_recv() {
                Err(TryRecvError::Empty) => return Some(Waiting::Report(worker, life, tokens, answer)),
                answer => self.report_answered(worker, life, &tokens, answer.ok(), epoch),
            },
            Waiting::Heartbeat(worker, life, tokens, mut answer) => match answer.try_recv() {
                Err(TryRecvError::Empty) => return Some(Waiting::Heartbeat(worker, life, tokens, answer)),
                answer => self.heartbeat_answered(worker, life, tokens, answer.ok()),
            },
        }
        None
    }

    /// The process dies with everything in it. A batch that the store has been handed may be written all the same.
    pub fn kill_owner(&mut self, number: u64) {
        self.counts.owners_killed += 1;
        self.trace(|| format!("owner {number} dies"));
        if self.rng.bool()
            && let Some(writing) = self.owner(number).and_then(|owner| owner.writing.take())
            && writing.tries == 0
        {
            drop(self.write(&writing));
        }
        self.remove_owner(number);
    }

    pub fn remove_owner(&mut self, number: u64) {
        let Some(place) = self.owners.iter().position(|owner| owner.number == number) else {
            return;
        };
        let process = self.owners.swap_remove(place);
        self.count(process.core.stats());
        drop(process.core);
        // Whoever waited learns that the connection is gone.
        for waiting in process.waiting {
            drop(self.poll(waiting, process.epoch));
        }
        if self.active == number {
            let wait = self.rng.i64(50_000..3_000_000);
            self.after(wait, Happening::Restart);
        }
    }

    pub fn count(&mut self, stats: Stats) {
        self.counts.slices += stats.slices;
        self.counts.offered_again += stats.offered_again;
        self.counts.owners_frozen += stats.frozen;
        self.counts.never_came += stats.never_came;
    }

    /// Ends the sessions of workers that are not heard of.
    pub fn sweep(&mut self, number: u64) {
        let now = self.now();
        let Some(owner) = self.owner(number) else { return };
        for session in owner.sessions.silent() {
            if let Some(closing) = owner.sessions.close(&session) {
                let closed = Message::SessionClosed {
                    session: closing.session,
                    generation: closing.generation,
                    reason: "the worker has stopped sending heartbeats".to_owned(),
                };
                owner.core.handle(closed, now);
            }
        }
        self.after(SWEEP, Happening::Sweep(number));
        self.pump(number);
    }
}
