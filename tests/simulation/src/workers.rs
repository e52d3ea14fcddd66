//! Workers: they connect, take leases, run attempts that end well, badly or not at all, report, and repeat what was not
//! answered. They vanish, are stopped and wake as zombies, and their streams break.

mod breaking;
pub mod heartbeats;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use nexus_api::worker::v1::RegisterWorkerRequest;
use nexus_engine::{Failure, FailureKind, Outcome, Output};
use nexus_execution_owner::{Acceptance, Granted, Message, Reported, SessionRef, Verdict};
use nexus_execution_store::{LeaseToken, SessionId};
use nexus_streams::Dispatch;
use tokio::sync::oneshot;

use crate::checker::Begun;
use crate::graphs::QUEUES;
use crate::owners::Waiting;
use crate::world::{Happening, World};

const SECOND: i64 = 1_000_000;
const HEARTBEAT: i64 = 3 * SECOND;
/// A worker stops attempts whose leases it could not extend for so long.
const GIVE_UP: i64 = 12_000_000;

struct Running {
    begun: Begun,
    extended_at: i64,
    cancelled: bool,
    /// Once it has ended: what to report until somebody answers.
    outcome: Option<Outcome>,
}

/// A worker.
pub struct Worker {
    slots: usize,
    queues: Vec<String>,
    session: Option<(SessionRef, u64)>,
    /// The name of the last session, to go on with at another owner.
    known_as: Option<SessionId>,
    /// How often it has asked to go on with that.
    resumptions: u64,
    running: BTreeMap<LeaseToken, Running>,
    /// Leases of this life that it gave up without a word.
    given_up: BTreeSet<LeaseToken>,
    /// Counts its deaths, so that what belongs to an earlier life is told apart.
    life: u64,
    /// Counts its connections: what comes over an earlier one does not reach it.
    connection: u64,
    dead: bool,
    paused_until: i64,
    /// It goes on with attempts whose leases are over.
    careless: bool,
    asking: bool,
}

impl Worker {
    /// Its session, if that is at a certain owner.
    pub fn session_of(&self, owner: u64) -> Option<&SessionRef> {
        let (session, of) = self.session.as_ref()?;
        (*of == owner).then_some(session)
    }

    /// Slots in which nothing runs.
    pub fn free(&self) -> usize {
        self.slots.saturating_sub(self.running.len())
    }

    /// Which of its connections it has.
    pub fn connection(&self) -> u64 {
        self.connection
    }
}

impl World {
    pub fn add_worker(&mut self, number: usize) {
        // The first one takes everything, so that every task has somebody.
        let all = number == 0 || self.rng.bool();
        let queues = if all { &QUEUES[..] } else { &QUEUES[..1] };
        let worker = Worker {
            slots: self.rng.usize(1..6),
            queues: queues.iter().map(|queue| (*queue).to_owned()).collect(),
            session: None,
            known_as: None,
            resumptions: 0,
            running: BTreeMap::new(),
            given_up: BTreeSet::new(),
            life: 0,
            connection: 0,
            dead: false,
            paused_until: 0,
            careless: self.rng.u32(0..3) == 0,
            asking: false,
        };
        self.workers.push(worker);
        self.at(0, Happening::Worker(number));
        self.at(0, Happening::Heartbeat(number, 0));
    }

    /// Whether a worker takes part; one that is stopped has the step put off.
    fn is_up(&mut self, number: usize, again: Happening) -> bool {
        let worker = &self.workers[number];
        if worker.dead {
            return false;
        }
        if worker.paused_until > self.steady {
            let until = worker.paused_until;
            self.at(until, again);
            return false;
        }
        true
    }

    /// Connects, or looks for work.
    pub fn worker_step(&mut self, number: usize) {
        if !self.is_up(number, Happening::Worker(number)) {
            return;
        }
        self.connect(number);
        self.take(number);
        let wait = self.rng.i64(100_000..SECOND);
        self.after(wait, Happening::Worker(number));
    }

    /// Everybody with a free slot looks at once.
    pub fn wake_workers(&mut self) {
        for number in 0..self.workers.len() {
            if !self.workers[number].dead && self.workers[number].paused_until <= self.steady {
                self.take(number);
            }
        }
    }

    fn connect(&mut self, number: usize) {
        let (active, steady) = (self.active, self.steady);
        let worker = &mut self.workers[number];
        let (ids, here) = (self.ids.clone(), heartbeats::process());
        let Some(owner) = self.owners.iter().find(|owner| owner.number == active) else {
            return;
        };
        if owner.loading || owner.paused_until > steady {
            return;
        }
        let open = worker
            .session
            .as_ref()
            .is_some_and(|(session, of)| *of == active && owner.sessions.touch(&here, &session.session).is_some());
        if open {
            return;
        }
        let lives = worker.known_as.clone().filter(|_| self.lasting);
        worker.resumptions += 1;
        let received: HashSet<LeaseToken> = worker.running.keys().chain(&worker.given_up).cloned().collect();
        self.counts.resumed += u64::from(lives.is_some());
        let request = RegisterWorkerRequest {
            name: format!("worker{number}"),
            queues: worker.queues.clone(),
            slots: u32::try_from(worker.slots).unwrap_or(1),
            resume_session: lives.clone().map_or_else(String::new, String::from),
            resume_number: worker.resumptions,
            ..RegisterWorkerRequest::default()
        };
        // As the store numbers them: each higher than all before.
        self.generations += u64::from(lives.is_some());
        let generation = if lives.is_some() { self.generations } else { 0 };
        let session = owner.sessions.register(&here, request, generation, None, &ids).ok();
        worker.session = session
            .and_then(|session| owner.sessions.touch(&here, &session))
            .map(|session| (session, active));
        if let Some((session, _)) = &worker.session {
            worker.known_as = Some(session.session.clone());
        }
        worker.asking = false;
        worker.connection += 1;
        if let Some(session) = lives {
            self.trace(|| format!("worker {number} goes on with {session} in {generation}, having {received:?}"));
            let lives = Message::SessionLives {
                session: session.clone(),
                generation,
                received: Some(Arc::new(received)),
            };
            self.send(active, lives, None);
            self.may_be_closed_late(number, session, generation);
        }
        self.report(number);
    }

    fn take(&mut self, number: usize) {
        let worker = &mut self.workers[number];
        let Some((session, of)) = worker.session.clone() else {
            return;
        };
        let free = worker.free();
        if free == 0 || worker.asking {
            return;
        }
        let connection = worker.connection;
        let steady = self.steady;
        let Some(owner) = self.owners.iter_mut().find(|owner| owner.number == of) else {
            return;
        };
        if owner.loading || owner.paused_until > steady {
            return;
        }
        let taken = owner.dispatch.take(&session.queues, free, Duration::ZERO);
        // Taking without a wait never waits, and an empty dispatcher gives nothing.
        let taken = futures::FutureExt::now_or_never(taken)
            .and_then(Result::ok)
            .unwrap_or_default();
        if taken.is_empty() {
            return;
        }
        let pointers: Vec<_> = taken.into_iter().map(|taken| taken.pointer).collect();
        self.workers[number].asking = true;
        let asked = pointers.len() as u64;
        self.counts.pointers_refused += asked;
        let (reply, answer) = oneshot::channel();
        let message = Message::Grant {
            pointers,
            session,
            reply,
        };
        self.send(of, message, Some(Waiting::Grant(number, connection, answer)));
    }

    pub fn grant_answered(&mut self, number: usize, connection: u64, granted: Vec<Granted>, epoch: i64) {
        self.counts.pointers_refused -= granted.len() as u64;
        let worker = &mut self.workers[number];
        if worker.connection == connection {
            worker.asking = false;
        }
        self.leased(number, connection, granted, epoch);
    }

    /// Leases come to a worker over one of its connections, or are lost on the way.
    pub fn leased(&mut self, number: usize, connection: u64, granted: Vec<Granted>, epoch: i64) {
        let current = epoch == self.newest_epoch;
        for lease in &granted {
            self.checker.granted(lease, epoch, current);
        }
        let lost = self.faulty(30);
        let worker = &self.workers[number];
        if worker.dead || worker.connection != connection {
            self.counts.answers_lost += 1;
            return;
        }
        if lost {
            self.counts.answers_lost += 1;
            return self.break_stream(number);
        }
        for lease in granted {
            self.begin(number, &lease, epoch);
        }
    }

    fn begin(&mut self, number: usize, lease: &Granted, epoch: i64) {
        let delivery = lease.plan.task(lease.task).delivery;
        let begun = Begun {
            token: lease.token.clone(),
            execution: lease.execution,
            task: lease.task,
            attempt: lease.attempt,
            epoch,
        };
        self.trace(|| format!("worker {number} begins {begun:?}"));
        let full = self.workers[number].running.len() >= self.workers[number].slots;
        let refuses = full || self.faulty(60);
        if !refuses {
            self.checker.begins(&begun, delivery);
            self.counts.begun += 1;
        }
        let token = begun.token.clone();
        let running = Running {
            begun,
            extended_at: self.steady,
            cancelled: false,
            outcome: None,
        };
        self.workers[number].running.insert(token.clone(), running);
        if refuses {
            self.counts.releases += 1;
            let reason = "no slot".to_owned();
            let outcome = Outcome::Released {
                reason,
                not_started: true,
            };
            return self.ends(number, &token, outcome);
        }
        let takes = match self.rng.u32(0..10) {
            0..=5 => self.rng.i64(100..50_000),
            6..=8 => self.rng.i64(50_000..3 * SECOND),
            _ => self.rng.i64(3 * SECOND..30 * SECOND),
        };
        self.after(takes, Happening::Ended(number, token));
    }

    pub fn attempt_ended(&mut self, number: usize, token: &LeaseToken) {
        if !self.is_up(number, Happening::Ended(number, token.clone())) {
            return;
        }
        let Some(running) = self.workers[number].running.get(token) else {
            return;
        };
        if running.outcome.is_some() {
            return;
        }
        let outcome = if running.cancelled {
            Outcome::Cancelled
        } else {
            self.outcome(token)
        };
        self.ends(number, token, outcome);
    }

    fn outcome(&mut self, token: &LeaseToken) -> Outcome {
        match self.rng.u32(0..20) {
            0..=13 => Outcome::Succeeded(Output::new(format!("\"{token}\""))),
            14..=17 => Outcome::Failed(Failure {
                non_retryable: self.rng.u32(0..5) == 0,
                ..Failure::new(FailureKind::User, "Boom", "it failed")
            }),
            18 => Outcome::Failed(Failure::new(FailureKind::Infrastructure, "Keeper", "the keeper died")),
            _ => {
                self.counts.releases += 1;
                let reason = "the worker is leaving".to_owned();
                Outcome::Released {
                    reason,
                    not_started: false,
                }
            }
        }
    }

    fn ends(&mut self, number: usize, token: &LeaseToken, outcome: Outcome) {
        let Some(running) = self.workers[number].running.get_mut(token) else {
            return;
        };
        self.checker.reports(&running.begun, &outcome);
        if matches!(&outcome, Outcome::Released { not_started: true, .. }) {
            self.checker.not_started(&running.begun);
        }
        running.outcome = Some(outcome);
        self.report(number);
    }

    /// Reports everything that has ended; also what was reported and not answered.
    fn report(&mut self, number: usize) {
        let worker = &self.workers[number];
        let Some((session, of)) = worker.session.clone() else {
            return;
        };
        let ended = worker.running.iter().filter_map(|(token, running)| {
            let outcome = running.outcome.clone()?;
            Some((token.clone(), outcome))
        });
        let reports: Vec<(LeaseToken, Outcome)> = ended.collect();
        if reports.is_empty() {
            return;
        }
        let free_slots = worker.slots.saturating_sub(worker.running.len() - reports.len());
        let free_slots = u32::try_from(free_slots).unwrap_or_default();
        let doubled = self.faulty(15);
        self.counts.reports_doubled += u64::from(doubled);
        for _ in 0..=u32::from(doubled) {
            let tokens = reports.iter().map(|(token, _)| token.clone()).collect();
            let (reply, answer) = oneshot::channel();
            let connection = self.workers[number].connection;
            let message = Message::Report {
                reports: reports.clone(),
                session: session.clone(),
                free_slots,
                reply,
            };
            self.send(of, message, Some(Waiting::Report(number, connection, tokens, answer)));
        }
    }

    pub fn report_answered(
        &mut self,
        number: usize,
        connection: u64,
        tokens: &[LeaseToken],
        answer: Option<Reported>,
        epoch: i64,
    ) {
        let Some(answer) = answer else { return };
        let current = epoch == self.newest_epoch;
        for lease in &answer.granted {
            self.checker.granted(lease, epoch, current);
        }
        let lost = self.faulty(30);
        let worker = &mut self.workers[number];
        if worker.connection != connection {
            return;
        }
        let mut recorded = Vec::new();
        for (token, accepted) in tokens.iter().zip(&answer.accepted) {
            let running = worker.running.get(token);
            if let (Acceptance::Recorded, Some(running)) = (*accepted, running) {
                recorded.push((running.begun.clone(), running.outcome.clone()));
            }
            self.counts.reports_stale += u64::from(*accepted == Acceptance::Stale);
        }
        for (begun, outcome) in recorded {
            if let Some(outcome) = outcome {
                self.checker.report_accepted(&begun, &outcome);
            }
        }
        if lost {
            self.counts.answers_lost += 1;
            return self.break_stream(number);
        }
        for (token, accepted) in tokens.iter().zip(&answer.accepted) {
            // What another owner has to be told is told again with the next report.
            if *accepted != Acceptance::NotOwner {
                self.workers[number].running.remove(token);
            }
            if *accepted == Acceptance::Stale {
                self.workers[number].given_up.insert(token.clone());
            }
        }
        for lease in answer.granted {
            self.begin(number, &lease, epoch);
        }
        self.take(number);
    }
}
