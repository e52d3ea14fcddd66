//! The loop: takes commands, lets the engine decide, commits, releases. Nothing in it waits but the loop itself.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use nexus_engine::{Command, Effect, Execution, Outcome, Plan, Rejection, TaskState, Timer, Transition, decide};
use nexus_spec::model::Delivery;
use nexus_streams::{Entry, Pointer};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Dependencies;
use super::commit::{self, InFlight, Pending, Release};
use super::leases::{LEASE, Lease, Leases};
use super::live::Live;
use super::messages::{
    Granted, Message, NewExecution, OwnerError, Reported, SessionRef, Started, TokenSubject, Verdict,
};
use super::recover::Recovered;
use super::timers::Timers;
use crate::ids::ExecutionId;
use crate::metrics;
use crate::store::Fence;

/// Executions that may be live at a time; one more is refused with RESOURCE_EXHAUSTED.
const MAX_LIVE: usize = 200_000;
/// Commands taken before looking at anything else.
const BURST: usize = 512;
/// How often leases are looked over, and how often ready tasks that nobody took are offered again.
const PATROL: Duration = Duration::from_secs(5);
/// Idempotency keys are kept in memory for this long: longer than any call may last.
const KEY_MEMORY: Duration = Duration::from_secs(120);
/// A ready task that nobody took for this long may have lost its pointer.
const UNTAKEN: i64 = 10_000_000;

pub(super) struct Actor {
    pub(super) dependencies: Dependencies,
    pub(super) executions: HashMap<ExecutionId, Live>,
    pub(super) pending: Pending,
    pub(super) timers: Timers,
    pub(super) leases: Leases,
    pub(super) publisher: mpsc::Sender<Vec<Entry>>,
    /// Idempotency keys of recent starts, so that one who looked into the store too early still finds them.
    starting: HashMap<String, (ExecutionId, String)>,
    /// The same keys, oldest first.
    started: VecDeque<(Instant, String)>,
    fence: Fence,
    inbox: mpsc::Receiver<Message>,
    in_flight: Option<(InFlight, Vec<ExecutionId>, Vec<Release>)>,
    next_patrol: Instant,
    shutdown: CancellationToken,
}

impl Actor {
    pub(super) async fn recover(
        dependencies: Dependencies,
        inbox: mpsc::Receiver<Message>,
        shutdown: CancellationToken,
    ) -> Result<(Self, Recovered), OwnerError> {
        let fence = dependencies.store.claim(dependencies.ids.random()).await?;
        let (publisher, published) = mpsc::channel(4_096);
        tokio::spawn(publish(Arc::clone(&dependencies.dispatch), published));
        let mut actor = Self {
            dependencies,
            executions: HashMap::new(),
            pending: Pending::default(),
            timers: Timers::default(),
            leases: Leases::default(),
            publisher,
            starting: HashMap::new(),
            started: VecDeque::new(),
            fence,
            inbox,
            in_flight: None,
            next_patrol: Instant::now() + PATROL,
            shutdown,
        };
        let recovered = actor.load().await?;
        Ok((actor, recovered))
    }

    /// Runs until the shutdown, then stores what is left.
    pub(super) async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        loop {
            self.begin_commit_if_due();
            let wake = self.next_wake();
            tokio::select! {
                biased;
                result = finished(&mut self.in_flight) => self.commit_finished(result).await,
                message = self.inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => break,
                },
                () = tokio::time::sleep_until(wake) => self.tick(),
                () = shutdown.cancelled() => break,
            }
        }
        self.inbox.close();
        self.finish().await;
    }

    async fn finish(&mut self) {
        if self.in_flight.is_some() {
            let result = finished(&mut self.in_flight).await;
            self.commit_finished(result).await;
        }
        let (changes, _, releases) = self.gather();
        match self.dependencies.store.commit(self.fence, &changes).await {
            Ok(()) => self.release(releases),
            Err(error) => tracing::error!(%error, "the last batch was not stored; nobody was told of it"),
        }
    }

    fn take(&mut self, message: Message) {
        self.handle(message);
        // What waits already joins the same batch.
        for _ in 0..BURST {
            match self.inbox.try_recv() {
                Ok(message) => self.handle(message),
                Err(_) => break,
            }
        }
    }

    fn handle(&mut self, message: Message) {
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
            } => {
                self.report(reports, &session, free_slots, reply);
            }
            Message::Heartbeat { session, tokens, reply } => {
                let expires_at = self.now().saturating_add(LEASE);
                let verdicts = tokens
                    .iter()
                    .map(|token| self.extend(token, &session, expires_at))
                    .collect();
                drop(reply.send(verdicts));
            }
            Message::Subjects { session, tokens, reply } => {
                let subject = |token: &String| self.leases.of_session(token, &session).map(|lease| lease.subject);
                drop(reply.send(tokens.iter().map(subject).collect()));
            }
            Message::SessionClosed { session, reason } => {
                for token in self.leases.tokens_of_session(&session) {
                    self.lose(&token, &reason);
                }
            }
        }
    }

    fn now(&self) -> i64 {
        (self.dependencies.clock)()
    }

    /// Lets the engine decide, and takes note of what follows. The effects are the caller's to release.
    fn decide(&mut self, id: ExecutionId, command: Command, urgent: bool) -> Result<Vec<Effect>, Rejection> {
        let now = self.now();
        let live = self.executions.get_mut(&id).ok_or(Rejection::Closed)?;
        let transition: Transition = decide(&mut live.execution, command, now)?;
        live.record(&transition);
        if !transition.events.is_empty() {
            self.pending.mark(id, urgent);
        }
        Ok(transition.effects)
    }

    fn begin(&mut self, new: NewExecution, reply: oneshot::Sender<Result<Started, OwnerError>>) {
        if let Some((id, fingerprint)) = new.request.as_ref().and_then(|request| self.starting.get(&request.key)) {
            let same = new
                .request
                .as_ref()
                .is_some_and(|request| request.fingerprint == *fingerprint);
            let id = *id;
            let answer = if same {
                Ok(Started { id, existing: true })
            } else {
                Err(OwnerError::RequestIdReused)
            };
            // Also this answer waits for the commit: until then the first start does not exist.
            return self.pending.reply(move || drop(reply.send(answer)));
        }
        if self.executions.len() >= MAX_LIVE {
            return drop(reply.send(Err(OwnerError::Overloaded)));
        }
        let id = new.id;
        let now = self.now();
        if let Some(request) = &new.request {
            self.forget_old_keys();
            self.started.push_back((Instant::now(), request.key.clone()));
            self.starting
                .insert(request.key.clone(), (id, request.fingerprint.clone()));
        }
        let execution = Execution::new(id.to_string(), new.plan, new.params, id.seed(), now);
        let live = Live {
            id,
            execution,
            labels: new.labels,
            traceparent: new.traceparent,
            written: 0,
            events: Vec::new(),
            dirty: std::collections::BTreeSet::new(),
            request: new.request,
            closed: false,
        };
        self.executions.insert(id, live);
        let effects = self.decide(id, Command::Start, true).unwrap_or_default();
        self.pending.release_effects(id, effects);
        self.pending
            .reply(move || drop(reply.send(Ok(Started { id, existing: false }))));
        metrics::started();
    }

    /// Forgets keys that the store has had for longer than any call lasts.
    fn forget_old_keys(&mut self) {
        while let Some((at, key)) = self.started.front() {
            let id = self.starting.get(key).map(|(id, _)| *id);
            let stored = id
                .and_then(|id| self.executions.get(&id))
                .is_none_or(|live| live.written > 0);
            if at.elapsed() < KEY_MEMORY || !stored {
                return;
            }
            self.starting.remove(key);
            self.started.pop_front();
        }
    }

    fn cancel(&mut self, id: ExecutionId, reason: String, reply: oneshot::Sender<Result<(), OwnerError>>) {
        match self.decide(id, Command::Cancel { reason }, true) {
            Ok(effects) => {
                self.pending.release_effects(id, effects);
                self.pending.reply(move || drop(reply.send(Ok(()))));
            }
            Err(_) => drop(reply.send(Err(OwnerError::NotLive(id)))),
        }
    }

    fn grant(&mut self, pointers: &[Pointer], session: &SessionRef, reply: oneshot::Sender<Vec<Granted>>) {
        let mut granted = Vec::new();
        let mut durable = false;
        for pointer in pointers {
            let id = ExecutionId::from_bytes(pointer.execution);
            if let Some(lease) = self.lease(id, pointer.task, pointer.attempt, session) {
                durable |= lease.plan.tasks[lease.task as usize].delivery == Delivery::AtMostOnce;
                granted.push(lease);
            }
        }
        if durable {
            // `at_most_once` means: that it was given out is stored before it is given out.
            self.pending.reply(move || drop(reply.send(granted)));
        } else {
            drop(reply.send(granted));
        }
    }

    /// Leases one attempt, if it is still the current one.
    fn lease(&mut self, id: ExecutionId, task: u32, attempt: u32, session: &SessionRef) -> Option<Granted> {
        let command = Command::Grant {
            task,
            attempt,
            worker: Arc::clone(&session.worker),
        };
        let effects = self.decide(id, command, false).ok()?;
        self.pending.release_lazily(id, effects);
        let token = self.dependencies.ids.secret();
        let expires_at = self.now().saturating_add(LEASE);
        let subject = TokenSubject {
            execution: id,
            task,
            attempt,
        };
        let lease = Lease {
            subject,
            session: session.session.clone(),
            expires_at,
            cancelled: None,
        };
        self.leases.insert(token.clone(), lease);
        let live = self.executions.get(&id)?;
        let plan: Arc<Plan> = Arc::clone(&live.execution.plan);
        let references = &plan.tasks[task as usize].input.references().tasks;
        let scope = live.execution.scope(references, &token);
        let user_attempt = live.execution.tasks[task as usize].user_attempts();
        let traceparent = live.traceparent.clone();
        metrics::leased();
        Some(Granted {
            token,
            execution: id,
            plan,
            task,
            attempt,
            user_attempt,
            scope,
            traceparent,
            expires_at,
        })
    }

    fn report(
        &mut self,
        reports: Vec<(String, Outcome)>,
        session: &SessionRef,
        free_slots: u32,
        reply: oneshot::Sender<Reported>,
    ) {
        let mut reported = Reported::default();
        let mut free = free_slots;
        for (token, outcome) in reports {
            let accepted = self.record_report(&token, outcome, session, &mut free, &mut reported.granted);
            metrics::reported(accepted);
            reported.accepted.push(accepted);
        }
        if reported.accepted.contains(&true) {
            self.pending.reply(move || drop(reply.send(reported)));
        } else {
            drop(reply.send(reported));
        }
    }

    /// Records one report. Tasks that it frees go to the reporting worker first, as far as it has room.
    fn record_report(
        &mut self,
        token: &str,
        outcome: Outcome,
        session: &SessionRef,
        free: &mut u32,
        granted: &mut Vec<Granted>,
    ) -> bool {
        let Some(subject) = self
            .leases
            .of_session(token, &session.session)
            .map(|lease| lease.subject)
        else {
            return false;
        };
        self.leases.remove(token);
        let id = subject.execution;
        // A task that the worker gives back because it is ending is not offered to it again.
        let keeps_working = !matches!(outcome, Outcome::Released(_));
        let command = Command::Report {
            task: subject.task,
            attempt: subject.attempt,
            outcome,
        };
        let Ok(effects) = self.decide(id, command, true) else {
            return false;
        };
        let mut rest = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::Dispatch {
                    task,
                    attempt,
                    ref queue,
                    ..
                } if keeps_working && *free > 0 && session.queues.contains(queue) => {
                    match self.lease(id, task, attempt, session) {
                        Some(lease) => {
                            *free -= 1;
                            granted.push(lease);
                        }
                        None => rest.push(effect),
                    }
                }
                other => rest.push(other),
            }
        }
        self.pending.release_effects(id, rest);
        true
    }

    fn extend(&mut self, token: &str, session: &str, expires_at: i64) -> Verdict {
        match self.leases.of_session(token, session) {
            None => Verdict::Lost,
            Some(lease) => {
                lease.expires_at = expires_at;
                lease
                    .cancelled
                    .clone()
                    .map_or(Verdict::Continue(expires_at), Verdict::Cancel)
            }
        }
    }

    /// A lease ended without a report.
    fn lose(&mut self, token: &str, reason: &str) {
        let Some(lease) = self.leases.remove(token) else { return };
        let TokenSubject {
            execution: id,
            task,
            attempt,
        } = lease.subject;
        let command = Command::Lose {
            task,
            attempt,
            reason: reason.to_owned(),
            counted: true,
        };
        if let Ok(effects) = self.decide(id, command, true) {
            tracing::warn!(execution.id = %id, task, attempt, reason, "an attempt was lost");
            metrics::lost();
            self.pending.release_effects(id, effects);
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        while let Some((id, timer)) = self.timers.take_due(now) {
            self.fire(id, timer);
        }
        if Instant::now() >= self.next_patrol {
            self.next_patrol = Instant::now() + PATROL;
            for token in self.leases.expired(now) {
                self.lose(
                    &token,
                    "the worker has not sent a heartbeat for the length of the lease",
                );
            }
            self.offer_again(now);
        }
    }

    fn fire(&mut self, id: ExecutionId, timer: Timer) {
        // A refusal means that the timer's subject has moved on.
        if let Ok(effects) = self.decide(id, Command::TimerFired(timer), true) {
            self.pending.release_effects(id, effects);
        }
    }

    /// The reconciler: ready tasks that nobody has taken for long are offered again, in case their pointers were lost.
    fn offer_again(&self, now: i64) {
        let mut entries = Vec::new();
        for live in self.executions.values() {
            for (position, task) in (0_u32..).zip(&live.execution.tasks) {
                let untaken = task.ready_at.is_some_and(|ready_at| ready_at <= now - UNTAKEN);
                if task.state == TaskState::Scheduled && untaken {
                    let plan = &live.execution.plan.tasks[position as usize];
                    let pointer = Pointer {
                        execution: live.id.bytes(),
                        task: position,
                        attempt: task.current_attempt(),
                    };
                    entries.push(Entry {
                        queue: plan.queue.clone(),
                        lane: super::release::lane(plan.priority),
                        pointer,
                    });
                }
            }
        }
        self.publish(entries);
    }

    fn next_wake(&self) -> Instant {
        let mut wake = Instant::now() + Duration::from_secs(3_600);
        if !self.executions.is_empty() || !self.leases.is_empty() {
            wake = self.next_patrol.max(Instant::now());
        }
        if let Some(at) = self.timers.next() {
            let micros = u64::try_from(at.saturating_sub(self.now())).unwrap_or(0);
            wake = wake.min(Instant::now() + Duration::from_micros(micros));
        }
        if self.in_flight.is_none()
            && let Some(due) = self.pending.due()
        {
            wake = wake.min(due);
        }
        wake
    }

    fn begin_commit_if_due(&mut self) {
        if self.in_flight.is_some() || self.pending.due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        let (changes, ids, releases) = self.gather();
        let store = Arc::clone(&self.dependencies.store);
        let writing = commit::write(store, self.fence, changes, self.shutdown.clone());
        self.in_flight = Some((writing, ids, releases));
    }

    fn gather(&mut self) -> (Vec<crate::store::Change>, Vec<ExecutionId>, Vec<Release>) {
        let (dirty, releases) = self.pending.take();
        let mut changes = Vec::with_capacity(dirty.len());
        for id in &dirty {
            changes.extend(self.executions.get_mut(id).and_then(Live::take_change));
        }
        (changes, dirty.into_iter().collect(), releases)
    }

    async fn commit_finished(&mut self, result: CommitResult) {
        let (result, ids, releases) = result;
        match result {
            Ok(()) => {
                for id in &ids {
                    if let Some(live) = self.executions.get(id) {
                        self.dependencies.events.notify(*id, live.written);
                    }
                }
                self.release(releases);
                for id in ids {
                    self.forget_if_done(id);
                }
            }
            Err(error) => self.start_over(&error).await,
        }
    }

    /// Somebody else wrote: what is in memory is worth nothing. Nobody was told of what was not stored, so forgetting it
    /// is safe; callers that wait get an error and ask again.
    async fn start_over(&mut self, error: &crate::store::StoreError) {
        tracing::error!(%error, "ownership was lost; loading everything again");
        drop(self.pending.take());
        self.executions.clear();
        self.starting.clear();
        self.started.clear();
        self.timers = Timers::default();
        self.leases = Leases::default();
        while !self.shutdown.is_cancelled() {
            let claimed = self.dependencies.store.claim(self.dependencies.ids.random()).await;
            let loaded = match claimed {
                Ok(fence) => {
                    self.fence = fence;
                    self.load().await
                }
                Err(error) => Err(error.into()),
            };
            match loaded {
                Ok(_) => return,
                Err(error) => tracing::error!(%error, "the shards cannot be taken over; trying again"),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

type CommitResult = (Result<(), crate::store::StoreError>, Vec<ExecutionId>, Vec<Release>);

/// Waits for the commit in flight; for ever when there is none.
async fn finished(in_flight: &mut Option<(InFlight, Vec<ExecutionId>, Vec<Release>)>) -> CommitResult {
    let result = match in_flight {
        Some((writing, _, _)) => writing.await,
        None => std::future::pending().await,
    };
    let (ids, releases) = in_flight
        .take()
        .map(|(_, ids, releases)| (ids, releases))
        .unwrap_or_default();
    (result, ids, releases)
}

/// Publishes entries in the background, so that a slow dispatcher does not hold up the loop.
async fn publish(dispatch: Arc<dyn nexus_streams::Dispatch>, mut entries: mpsc::Receiver<Vec<Entry>>) {
    while let Some(batch) = entries.recv().await {
        if let Err(error) = dispatch.publish(batch).await {
            tracing::warn!(%error, "some tasks were not offered; the reconciler will offer them again");
        }
    }
}
