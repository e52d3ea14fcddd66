//! The owner in a process: one loop that brings messages, time and the ends of commits to the [`Core`], and does what the
//! core wants done.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nexus_engine::Plan;
use nexus_mesh::failpoint::kill_here;
use nexus_streams::{Dispatch, Entry};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::Dependencies;
use super::commit::{Remedy, remedy};
use super::core::{Core, Output};
use super::messages::{Message, OwnerError};
use super::recover::Recovered;
use crate::metrics;
use crate::plans::Plans;
use crate::store::{Change, Fence, Store, StoreError};

/// Messages taken before looking at anything else.
const BURST: usize = 512;
/// Batches of pointers that wait for the dispatcher at most.
const PUBLISHED: usize = 4_096;
/// Executions loaded at a time.
const PAGE: u32 = 200;
/// Tries to write a batch after which a failure is an error in the log.
const LOUD: u32 = 10;
/// How often a revision that cannot be had at present is asked for, and how long the first wait is; it doubles.
const REVISION_TRIES: u32 = 8;
const REVISION_WAIT: Duration = Duration::from_millis(50);

/// A commit that is being written.
type InFlight = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

pub(super) struct Actor {
    dependencies: Dependencies,
    core: Core,
    inbox: mpsc::Receiver<Message>,
    publisher: mpsc::Sender<Vec<Entry>>,
    in_flight: Option<InFlight>,
    shutdown: CancellationToken,
}

impl Actor {
    pub(super) async fn recover(
        dependencies: Dependencies,
        inbox: mpsc::Receiver<Message>,
        shutdown: CancellationToken,
    ) -> Result<(Self, Recovered), OwnerError> {
        let fence = dependencies.store.claim(dependencies.ids.random()).await?;
        let (publisher, published) = mpsc::channel(PUBLISHED);
        tokio::spawn(publish(Arc::clone(&dependencies.dispatch), published));
        let core = Core::new(fence, dependencies.ids.clone(), dependencies.limits, dependencies.now());
        let mut actor = Self {
            dependencies,
            core,
            inbox,
            publisher,
            in_flight: None,
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
            self.core.tick(self.dependencies.now());
            self.bring_about();
            self.begin_commit();
            let now = self.dependencies.now();
            let wait = u64::try_from(self.core.next_wake(now) - now.steady).unwrap_or(0);
            let wake = Instant::now() + Duration::from_micros(wait);
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
        let (fence, changes) = self.core.last_commit();
        match self.dependencies.store.commit(fence, &changes).await {
            Ok(()) => self.core.committed(self.dependencies.now()),
            Err(error) => tracing::error!(%error, "the last batch was not stored; nobody was told of it"),
        }
        self.bring_about();
    }

    fn take(&mut self, message: Message) {
        let now = self.dependencies.now();
        self.core.handle(message, now);
        // What waits already joins the same batch.
        for _ in 0..BURST {
            match self.inbox.try_recv() {
                Ok(message) => self.core.handle(message, now),
                Err(_) => break,
            }
        }
    }

    fn begin_commit(&mut self) {
        if let Some((fence, changes)) = self.core.begin_commit(self.dependencies.now()) {
            let store = Arc::clone(&self.dependencies.store);
            self.in_flight = Some(write(store, fence, changes, self.shutdown.clone()));
        }
    }

    async fn commit_finished(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) => {
                kill_here("execution::owner::committed");
                self.core.committed(self.dependencies.now());
            }
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
                } => self.dependencies.sessions.direct(&session, &token, &verdict),
                Output::Stored { id, sequence } => self.dependencies.events.notify(id, sequence),
            }
        }
    }

    async fn start_over(&mut self, error: &StoreError) {
        tracing::error!(%error, "ownership was lost; loading everything again");
        while !self.shutdown.is_cancelled() {
            let claimed = self.dependencies.store.claim(self.dependencies.ids.random()).await;
            let loaded = match claimed {
                Ok(fence) => {
                    self.core.start_over(fence, self.dependencies.now());
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

    /// Loads every live execution into memory.
    async fn load(&mut self) -> Result<Recovered, OwnerError> {
        let mut recovered = Recovered::default();
        let mut after = None;
        loop {
            let page = self.dependencies.store.open_executions(after, PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(recovered);
            };
            after = Some(last.id);
            for (row, tasks) in page {
                let id = row.id;
                let now = self.dependencies.now();
                let revived = match plan(&self.dependencies.plans, &row.workflow, row.revision).await? {
                    Ok(plan) => self.core.revive(row, tasks, plan, &mut recovered, now),
                    Err(problem) => Err(problem),
                };
                if let Err(error) = revived {
                    // One that cannot be revived must not keep the others from going on.
                    recovered.broken += 1;
                    tracing::error!(execution.id = %id, %error, "an execution cannot go on");
                }
            }
        }
    }
}

/// A revision made ready to run. One that does not exist or cannot run is a problem of its executions alone; one that
/// cannot be had at present is asked for again, since leaving its executions out would strand them.
async fn plan(plans: &Plans, workflow: &str, revision: u32) -> Result<Result<Arc<Plan>, String>, OwnerError> {
    let mut wait = REVISION_WAIT;
    let mut tries = 1;
    loop {
        match plans.revision(workflow, revision).await {
            Ok(loaded) => return Ok(Ok(Arc::clone(&loaded.plan))),
            Err(error) if !is_passing(error.code()) => return Ok(Err(error.to_string())),
            Err(error) if tries == REVISION_TRIES => return Err(OwnerError::Definitions(error.to_string())),
            Err(error) => tracing::warn!(%error, "a revision cannot be had at present"),
        }
        tokio::time::sleep(wait).await;
        wait *= 2;
        tries += 1;
    }
}

fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted | Code::Cancelled
    )
}

/// Waits for the commit in flight; for ever when there is none.
async fn finished(in_flight: &mut Option<InFlight>) -> Result<(), StoreError> {
    let result = match in_flight {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    };
    *in_flight = None;
    result
}

/// Writes a batch, however long the store takes to become available. Gives up only when another owner has taken over, or
/// when the process ends.
fn write(store: Arc<dyn Store>, fence: Fence, changes: Vec<Change>, shutdown: CancellationToken) -> InFlight {
    Box::pin(async move {
        let begun = Instant::now();
        for tries in 1.. {
            let Err(error) = store.commit(fence, &changes).await else {
                break;
            };
            metrics::commit_failed();
            match remedy(&error, tries) {
                Remedy::Ignore => break,
                Remedy::StartOver => return Err(error),
                Remedy::Again(wait) => {
                    // The first ones may pass by themselves; whoever reads only errors must hear of the others.
                    if tries < LOUD {
                        tracing::warn!(%error, tries, "the store cannot be written; trying again");
                    } else {
                        tracing::error!(%error, tries, "the store still cannot be written; trying again");
                    }
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        // While the process ends there is one more try and no more.
                        () = shutdown.cancelled() => return store.commit(fence, &changes).await,
                    }
                }
            }
        }
        metrics::committed(&changes, begun.elapsed());
        Ok(())
    })
}

/// Publishes entries in the background, so that a slow dispatcher does not hold up the loop.
async fn publish(dispatch: Arc<dyn Dispatch>, mut entries: mpsc::Receiver<Vec<Entry>>) {
    while let Some(batch) = entries.recv().await {
        if let Err(error) = dispatch.publish(batch).await {
            tracing::warn!(%error, "some tasks were not offered; the reconciler will offer them again");
        }
    }
}
