//! The loop: takes commands, lets the engine decide, commits, releases. Nothing in it waits but the loop itself.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use nexus_engine::{Command, Effect, Rejection, TaskState, Timer, Transition, decide};
use nexus_streams::{Entry, Pointer};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Dependencies;
use super::commit::{self, InFlight, Pending, Release};
use super::leases::{LEASE, Leases};
use super::live::Live;
use super::messages::{Message, OwnerError, TokenSubject};
use super::recover::Recovered;
use super::timers::Timers;
use crate::ids::ExecutionId;
use crate::store::Fence;

/// Commands taken before looking at anything else.
const BURST: usize = 512;
/// How often leases are looked over, and how often ready tasks that nobody took are offered again.
const PATROL: Duration = Duration::from_secs(5);
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
    pub(super) starting: HashMap<String, (ExecutionId, String)>,
    /// The same keys, oldest first.
    pub(super) started: VecDeque<(Instant, String)>,
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
            // Looked at in every round: under steady load the wait below never comes to the clock.
            self.tick();
            self.begin_commit_if_due();
            let wake = self.next_wake();
            tokio::select! {
                biased;
                result = finished(&mut self.in_flight) => self.commit_finished(result).await,
                () = shutdown.cancelled() => break,
                message = self.inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => break,
                },
                () = tokio::time::sleep_until(wake) => {}
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
            Message::Subjects { session, tokens, reply } => self.subjects(&session, &tokens, reply),
            Message::SessionClosed { session, reason } => {
                for token in self.leases.tokens_of_session(&session) {
                    self.lose(&token, &reason);
                }
            }
        }
    }

    pub(super) fn now(&self) -> i64 {
        (self.dependencies.clock)()
    }

    /// Lets the engine decide, and takes note of what follows. The effects are the caller's to release.
    pub(super) fn decide(&mut self, id: ExecutionId, command: Command, urgent: bool) -> Result<Vec<Effect>, Rejection> {
        let now = self.now();
        let live = self.executions.get_mut(&id).ok_or(Rejection::Closed)?;
        let transition: Transition = decide(&mut live.execution, command, now)?;
        live.record(&transition);
        if !transition.events.is_empty() {
            self.pending.mark(id, urgent);
        }
        Ok(transition.effects)
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
            for TokenSubject {
                execution,
                task,
                attempt,
            } in self.leases.overdue(now)
            {
                self.fire(execution, Timer::Attempt { task, attempt });
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

    /// Whether something of an execution is decided and not stored yet.
    pub(super) fn is_unstored(&self, id: ExecutionId) -> bool {
        let waits = self.executions.get(&id).is_some_and(|live| !live.events.is_empty());
        waits || self.in_flight.as_ref().is_some_and(|(_, ids, _)| ids.contains(&id))
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
