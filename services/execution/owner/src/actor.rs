//! The owner in a process: one loop that brings messages, time and the ends of commits to the [`Core`], and does what the
//! core wants done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nexus_execution_store::{Fence, StoreError};
use nexus_failpoint::kill_here;
use nexus_streams::Entry;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Dependencies;
use super::control::{Control, Handover, Stays};
use super::core::{Core, Output, Recovered};
use super::load;
use super::messages::{Message, OwnerError};
use super::page::{Page, Stored};
use super::seats::Seats;
use super::trouble::Troubles;
use super::writing::{InFlight, advise, finished, publish, write};
use crate::metrics;
use crate::notify::Progress;
use crate::plans::Missing;

/// Messages taken before looking at anything else.
const BURST: usize = 512;
/// Batches of pointers that wait for the dispatcher at most.
const PUBLISHED: usize = 4_096;

/// The ends of the channels that lead to the loop.
pub(crate) struct Ends {
    pub(crate) inbox: mpsc::Receiver<Message>,
    /// What the membership wants; nothing ever comes when there is none.
    pub(crate) control: mpsc::Receiver<Control>,
    pub(crate) stays: Stays,
    pub(crate) troubles: Troubles,
    /// Grows when the fence was refused: whoever keeps the membership has to join anew.
    pub(crate) lost: watch::Sender<u64>,
}

pub(crate) struct Actor {
    dependencies: Dependencies,
    core: Core,
    ends: Ends,
    publisher: mpsc::Sender<Vec<Entry>>,
    in_flight: Option<InFlight>,
    /// Shards that are being given up.
    handovers: Vec<Handover>,
    losses: watch::Receiver<u64>,
    shutdown: CancellationToken,
}

impl Actor {
    /// An owner of every shard, with everything that is live in memory.
    pub(crate) async fn recover(dependencies: Dependencies, ends: Ends) -> Result<(Self, Recovered), OwnerError> {
        let fence = dependencies.journal.claim(dependencies.ids.random()).await?;
        let core = Core::new(fence, dependencies.ids.clone(), dependencies.limits, dependencies.now());
        let mut actor = Self::new(dependencies, core, ends);
        let recovered = actor.load_all().await?;
        actor.ends.stays.show(&actor.core);
        Ok((actor, recovered))
    }

    /// An owner that is told which shards are its own.
    pub(crate) fn shared(dependencies: Dependencies, fence: Fence, ends: Ends) -> Self {
        let core = Core::shared(fence, dependencies.ids.clone(), dependencies.limits, dependencies.now());
        Self::new(dependencies, core, ends)
    }

    fn new(dependencies: Dependencies, core: Core, ends: Ends) -> Self {
        let seats: Arc<dyn Seats> = dependencies.workers.clone();
        let core = core.with_seats(seats);
        let (publisher, published) = mpsc::channel(PUBLISHED);
        let publish = publish(Arc::clone(&dependencies.dispatch), published);
        dependencies.background.spawn("publishing of pointers", publish);
        let shutdown = dependencies.background.shutdown().clone();
        let losses = dependencies.dispatch.losses();
        Self {
            dependencies,
            core,
            ends,
            publisher,
            in_flight: None,
            handovers: Vec::new(),
            losses,
            shutdown,
        }
    }

    /// Runs until the shutdown, then stores what is left.
    pub(crate) async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        loop {
            // Looked at in every round: under steady load the wait below never comes to the clock.
            self.core.tick(self.dependencies.now());
            self.bring_about();
            self.unless_broken().await;
            self.begin_commit();
            self.hand_over();
            let now = self.dependencies.now();
            let wait = u64::try_from(self.core.next_wake(now) - now.steady).unwrap_or(0);
            let wake = Instant::now() + Duration::from_micros(wait);
            tokio::select! {
                biased;
                result = finished(&mut self.in_flight) => self.commit_finished(result).await,
                () = shutdown.cancelled() => break,
                Some(control) = self.ends.control.recv() => self.obey(control),
                message = self.ends.inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => break,
                },
                Ok(()) = self.losses.changed() => self.core.pointers_lost(),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        self.ends.inbox.close();
        self.finish().await;
    }

    async fn finish(&mut self) {
        if self.in_flight.is_some() {
            let result = finished(&mut self.in_flight).await;
            self.commit_finished(result).await;
        }
        let (fence, changes) = self.core.last_commit();
        match self.dependencies.journal.commit(fence, &changes).await {
            Ok(()) => self.core.committed(self.dependencies.now()),
            Err(error) => tracing::error!(%error, "the last batch was not stored; nobody was told of it"),
        }
        self.bring_about();
    }

    fn take(&mut self, message: Message) {
        self.core.handle(message, self.dependencies.now());
        // What waits already joins the same batch. Each has a time of its own: a process may stand still in between, and
        // nothing may seem to have ended before it did.
        for _ in 0..BURST {
            match self.ends.inbox.try_recv() {
                Ok(message) => self.core.handle(message, self.dependencies.now()),
                Err(_) => break,
            }
        }
    }

    /// Does what the membership wants.
    fn obey(&mut self, control: Control) {
        let now = self.dependencies.now();
        match control {
            Control::Trust(trusted) => self.core.trust(trusted, now),
            Control::Adopt(shards) => {
                for shard in &shards {
                    self.core.adopt(*shard);
                }
                load::in_background(&self.dependencies, self.core.marks(&shards), self.ends.stays.pages());
            }
            Control::Loaded(page) => self.revive(page),
            Control::HandOver(handover) => {
                for shard in &handover.shards {
                    self.core.leave(*shard);
                }
                self.handovers.push(handover);
            }
            Control::Drop(shards) => self.core.disown(&shards.into_iter().collect()),
            Control::Rejoin(fence) => {
                self.in_flight = None;
                self.core.start_over(fence, now);
                self.handovers.clear();
            }
        }
        self.ends.stays.show(&self.core);
    }

    /// Takes in what was loaded of adopted shards, as far as they are still the same ones.
    fn revive(&mut self, page: Page) {
        let now = self.dependencies.now();
        let mut recovered = Recovered::default();
        self.core.know_silences(page.silences, now);
        let mut aside = Vec::new();
        for stored in page.executions {
            let shard = stored.0.id.shard();
            if self.core.is_marked(&page.marks, shard, page.late) {
                let mark = page.marks.iter().find(|(marked, _)| *marked == shard).copied();
                let late = revive(&mut self.core, stored, &mut recovered, now);
                aside.extend(mark.zip(late).map(|(mark, (row, tasks))| (mark, row, tasks)));
            }
        }
        if !aside.is_empty() {
            load::later(&self.dependencies, aside, &self.ends.stays);
        }
        if recovered != Recovered::default() {
            tracing::info!(?recovered, "executions were taken over");
        }
        if page.last {
            for (shard, _) in &page.marks {
                if self.core.is_marked(&page.marks, *shard, false) {
                    self.core.serve(*shard);
                }
            }
            tracing::info!(shards = page.marks.len(), "shards were taken over");
        }
        // The loader goes on once this page is in memory.
        drop(page.taken);
    }

    /// Gives up the shards whose every decision is stored.
    fn hand_over(&mut self) {
        if self.handovers.is_empty() {
            return;
        }
        let leaving = self
            .handovers
            .iter()
            .flat_map(|handover| handover.shards.iter().copied());
        let settled: BTreeSet<u16> = leaving.filter(|shard| self.core.is_settled(*shard)).collect();
        if settled.is_empty() {
            return;
        }
        self.core.disown(&settled);
        self.handovers.retain_mut(|handover| {
            handover.shards.retain(|shard| !settled.contains(shard));
            let done = handover.shards.is_empty();
            if done && let Some(reply) = handover.done.take() {
                // Whoever waited too long looks again.
                let _late = reply.send(());
            }
            !done
        });
    }

    fn begin_commit(&mut self) {
        if let Some((fence, changes)) = self.core.begin_commit(self.dependencies.now()) {
            let store = Arc::clone(&self.dependencies.journal);
            let troubles = self.ends.troubles.clone();
            self.in_flight = Some(write(store, fence, changes, troubles, self.shutdown.clone()));
        }
    }

    async fn commit_finished(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) => {
                kill_here("execution::owner::committed");
                self.core.committed(self.dependencies.now());
            }
            Err(error) if self.core.shares() => self.shut_out(&error),
            Err(error) => self.start_over(&error).await,
        }
        self.bring_about();
        kill_here("execution::owner::released");
    }

    /// Does what the core wants done.
    fn bring_about(&mut self) {
        for output in self.core.take_outputs() {
            match output {
                // What the publisher has no room for is left to the reconciler.
                Output::Publish(entries) => {
                    if self.publisher.try_send(entries).is_err() {
                        tracing::warn!("the dispatcher is behind; the reconciler will offer the tasks again");
                    }
                }
                Output::Direct {
                    session,
                    token,
                    verdict,
                } => self.dependencies.workers.direct(&session, &token, &verdict),
                Output::Lease { seat, lease } => {
                    if let Err(lease) = self.dependencies.workers.hand(seat, *lease) {
                        self.core.unheard(&lease.token);
                    }
                }
                Output::Silent(silences) => {
                    let store = Arc::clone(&self.dependencies.journal);
                    advise(async move { store.note_silences(&silences).await });
                }
                Output::Heard(tokens) => {
                    let store = Arc::clone(&self.dependencies.journal);
                    advise(async move { store.forget_silences(&tokens).await });
                }
                Output::Stored { id, sequence, over } => {
                    self.dependencies.events.notify(id, Progress { sequence, over })
                }
            }
        }
    }

    /// Another replica took the shards: what is in memory is worth nothing, and the membership begins anew.
    fn shut_out(&mut self, error: &StoreError) {
        tracing::error!(%error, "this replica was shut out; it joins again");
        metrics::shut_out();
        let fence = self.core.fence();
        self.core.start_over(fence, self.dependencies.now());
        self.handovers.clear();
        self.ends.stays.show(&self.core);
        self.ends.lost.send_modify(|times| *times += 1);
    }

    /// Starts over when something in memory is worth nothing. What is under way to the store was decided before that.
    async fn unless_broken(&mut self) {
        if self.in_flight.is_some() {
            return;
        }
        let Some(why) = self.core.must_start_over() else {
            return;
        };
        let error = StoreError::Inconsistent(why.to_owned());
        if self.core.shares() {
            self.shut_out(&error);
        } else {
            self.start_over(&error).await;
        }
    }

    async fn start_over(&mut self, error: &StoreError) {
        tracing::error!(%error, "ownership was lost; loading everything again");
        while !self.shutdown.is_cancelled() {
            let claimed = self.dependencies.journal.claim(self.dependencies.ids.random()).await;
            let loaded = match claimed {
                Ok(fence) => {
                    self.core.start_over(fence, self.dependencies.now());
                    self.load_all().await
                }
                Err(error) => Err(error.into()),
            };
            self.ends.stays.show(&self.core);
            match loaded {
                Ok(_) => return,
                Err(error) => tracing::error!(%error, "the shards cannot be taken over; trying again"),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Loads every live execution into memory.
    async fn load_all(&mut self) -> Result<Recovered, OwnerError> {
        let mut recovered = Recovered::default();
        let (mut after, mut asked, mut aside) = (None, load::Asked::default(), Vec::new());
        loop {
            let page = load::page(&self.dependencies, &[], after, &mut asked).await?;
            let Some((last, ..)) = page.last() else { break };
            after = Some(last.id);
            for stored in page {
                let now = self.dependencies.now();
                let mark = self.core.marks(&[stored.0.id.shard()]);
                let late = revive(&mut self.core, stored, &mut recovered, now);
                aside.extend(
                    mark.into_iter()
                        .zip(late)
                        .map(|(mark, (row, tasks))| (mark, row, tasks)),
                );
            }
        }
        if !aside.is_empty() {
            load::later(&self.dependencies, aside, &self.ends.stays);
        }
        Ok(recovered)
    }
}

/// Takes one execution into memory, or gives it back when its revision cannot be had at present. One that cannot go on
/// must not keep the others from it.
fn revive(
    core: &mut Core,
    (row, tasks, plan): Stored,
    recovered: &mut Recovered,
    now: super::base::Now,
) -> Option<(nexus_execution_store::ExecutionRow, Vec<nexus_execution_store::TaskRow>)> {
    let id = row.id;
    let leased: Vec<_> = tasks.iter().filter_map(|task| task.lease.clone()).collect();
    let (problem, aside) = match plan {
        Ok(plan) => (core.revive(row, tasks, plan, recovered, now).err()?, None),
        Err(Missing::Ever(problem)) => (problem, None),
        Err(Missing::Now(problem)) => (problem, Some((row, tasks))),
    };
    core.put_aside(id, leased, &problem);
    if aside.is_none() {
        recovered.broken += 1;
        tracing::error!(execution = %id, problem, "an execution cannot go on");
    }
    aside
}
