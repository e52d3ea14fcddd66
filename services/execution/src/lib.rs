//! The execution service: executions, tasks, attempts, history, queues and worker leases.
//!
//! Invariants:
//! - An execution changes only in the owner's loop (`nexus-execution-owner`), and only as `nexus-engine` decides.
//! - Nobody is told of a change before it is stored.
//! - Nothing on the way of a task reads the database, but for secrets that NEXUS keeps: state is in memory.

mod condition;
mod connected;
mod convert;
mod ending;
mod error;
mod feed_keeping;
mod feed_service;
pub mod metrics;
mod operations;
mod plans;
mod replication;
pub mod results;
mod retention;
mod service;
mod shard_operations;
mod shard_service;
mod waiting;
mod worker_operations;
mod worker_service;

use std::sync::Arc;

use nexus_api::execution::v1::execution_service_server::ExecutionServiceServer;
use nexus_api::feed::v1::feed_service_server::FeedServiceServer;
use nexus_api::shard::v1::shard_service_server::ShardServiceServer;
use nexus_api::worker::v1::worker_service_server::WorkerServiceServer;
use nexus_audit::Recorder;
use nexus_execution_owner::notify::Notifier;
use nexus_execution_owner::{self as owner, Owner};
use nexus_execution_store::feed::Feed;
use nexus_execution_store::membership::Membership;
use nexus_execution_store::{Logs, Reads, Store};
use nexus_mesh::{Clock, Transport};
use nexus_service::Background;
use nexus_streams::{Dispatch, Lend};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use feed_keeping::FeedKeeping;
pub use nexus_execution_owner::{Limits, OwnerError, Recovered};
pub use nexus_execution_store::{ExecutionId, Ids};
pub use replication::{Connect, Replication};
pub use retention::{Always, Retention, Turn};

use condition::Signs;
use connected::Connected;
use nexus_execution_sessions::Sessions;
use plans::Plans;
use replication::{Idle, Keeper, Nudge, OwnAddress, Peers, Router, Watched, Ways};
use results::Results;
use waiting::Waiting;

/// Largest message that is taken: a report of several outputs.
const MAX_REQUEST: usize = 16 << 20;

/// What the service stands on.
#[derive(Clone)]
pub struct Dependencies {
    /// Where state is kept.
    pub store: Arc<dyn Store>,
    /// How attempts are offered to workers.
    pub dispatch: Arc<dyn Dispatch>,
    /// The way to the definitions service.
    pub definitions: Transport,
    /// The time of day.
    pub clock: Clock,
    /// A clock that only grows; leases are judged by it.
    pub steady: Clock,
    /// Fresh ids.
    pub ids: Ids,
    /// How much may be in memory at a time.
    pub limits: Limits,
    /// Where outputs are kept for tasks that ask for it.
    pub results: Arc<dyn Results>,
    /// How long executions are kept after their end; for ever without it.
    pub retention: Option<Retention>,
    /// The feed of what was committed, and how long it is kept for those who do not read it.
    pub feed: FeedKeeping,
    /// What entries of the audit log are made with.
    pub recorder: Recorder,
}

/// What every operation works with.
#[derive(Clone)]
pub(crate) struct Context {
    /// What callers ask for, and the lines of logs.
    reads: Arc<dyn Reads>,
    lines: Arc<dyn Logs>,
    dispatch: Arc<dyn Dispatch>,
    owner: Owner,
    router: Router,
    nudge: Option<Nudge>,
    lending: Option<Arc<dyn Lend>>,
    /// Where replicas find each other; none without others.
    membership: Option<Arc<dyn Membership>>,
    plans: Plans,
    secrets: worker_operations::secrets::Vault,
    results: Arc<dyn Results>,
    sessions: Sessions,
    waiting: Waiting,
    idle: Idle,
    events: Notifier,
    logs: Notifier,
    ids: Ids,
    feed: Arc<dyn Feed>,
    clock: Clock,
    recorder: Recorder,
    /// Nothing new is taken on: workers should look for another replica.
    leaving: CancellationToken,
    shutdown: CancellationToken,
}

/// The running service.
#[derive(Clone)]
pub struct Execution {
    context: Context,
    condition: watch::Receiver<Option<String>>,
}

impl std::fmt::Debug for Execution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Execution")
    }
}

impl Execution {
    /// Takes every shard over, loads what is live and begins to work, until the shutdown of `background`. Also tells what
    /// was found live, and gives the task that ends once everything is stored after the shutdown.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub async fn start(
        dependencies: Dependencies,
        background: &Background,
    ) -> Result<(Self, Recovered, JoinHandle<()>), OwnerError> {
        let parts = Parts::new(&dependencies);
        let (owner, recovered, finished) = Owner::start(parts.owner(&dependencies, background)).await?;
        let router = Router::new(owner.stays().clone(), Peers::new(None), None);
        let ends = Ends {
            leaving: background.shutdown().clone(),
            background: background.clone(),
        };
        let service = parts.assemble(dependencies, owner, router, ends, None);
        Ok((service, recovered, finished))
    }

    /// Joins the other replicas and works on the shards that become this one's. Once `leaving` is cancelled it hands its
    /// shards over and sends its workers away, while calls are still answered; the first task that is given ends when that
    /// is done. The second one ends once everything is stored after the shutdown of `background`.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub async fn join(
        dependencies: Dependencies,
        replication: Replication,
        leaving: CancellationToken,
        background: &Background,
    ) -> Result<(Self, JoinHandle<()>, JoinHandle<()>), OwnerError> {
        let parts = Parts::new(&dependencies);
        let (me, fence) = Keeper::join(&replication, &dependencies.ids).await?;
        let (owner, steering, finished) = Owner::share(parts.owner(&dependencies, background), fence);
        let nudge = Nudge::default();
        let peers = Peers::new(Some(Arc::clone(&replication.connect)));
        let router = Router::new(owner.stays().clone(), peers.clone(), Some(nudge.clone()));
        let ids = dependencies.ids.clone();
        let lending = Arc::clone(&replication.lending);
        let membership = Arc::clone(&replication.membership);
        let (standing, stands) = watch::channel(true);
        let (sessions, mut seen) = (parts.sessions.clone(), stands.clone());
        background.spawn_dropped("notes of its own absence", async move {
            while seen.changed().await.is_ok() {
                sessions.is_away();
            }
            std::future::pending().await
        });
        let (problem, addressed) =
            watch::channel(Some("it is not known yet whether its address leads to it".to_owned()));
        let own = OwnAddress {
            address: replication.address.clone(),
            connect: Arc::clone(&replication.connect),
            router: router.clone(),
        };
        let shutdown = background.shutdown();
        background.spawn("watch over the own address", own.watch(problem, shutdown.clone()));
        let ways = Ways {
            router: router.clone(),
            steering,
            nudge: nudge.clone(),
        };
        let (keeper, trust) = Keeper::new(replication, me, ids, ways, standing);
        background.spawn_until("trust in the membership", leaving.clone(), trust.watch());
        let left = background.spawn_until(
            "keeping of the membership",
            leaving.clone(),
            keeper.run(leaving.clone()),
        );
        let watched = Watched {
            events: parts.events.clone(),
            logs: parts.logs.clone(),
        };
        let follow = replication::follow(peers.clone(), watched, shutdown.clone());
        background.spawn("following of other replicas", follow);
        let (elsewhere, directives) = mpsc::channel(replication::DIRECTIVES);
        parts.sessions.set_remote(elsewhere);
        background.spawn(
            "passing on of directives",
            replication::direct(peers.clone(), directives),
        );
        let borrow = replication::borrow(peers, Arc::clone(&lending), shutdown.clone());
        background.spawn("borrowing of pointers", borrow);
        let sharing = Sharing {
            membership,
            nudge,
            lending,
            stands,
            addressed,
        };
        let ends = Ends {
            leaving,
            background: background.clone(),
        };
        let service = parts.assemble(dependencies, owner, router, ends, Some(sharing));
        Ok((service, left, finished))
    }

    /// Ids of executions that were stored anew, as they are stored, and whether that was their end. A listener that is too slow misses some.
    #[must_use]
    pub fn changes(&self) -> tokio::sync::broadcast::Receiver<(ExecutionId, bool)> {
        self.context.events.feed()
    }

    /// The service for callers.
    #[must_use]
    pub fn execution_server(&self) -> ExecutionServiceServer<service::Service> {
        ExecutionServiceServer::new(service::Service(self.context.clone()))
            .max_decoding_message_size(MAX_REQUEST)
            .max_encoding_message_size(MAX_REQUEST)
    }

    /// The service for readers of the feed.
    #[must_use]
    pub fn feed_server(&self) -> FeedServiceServer<feed_service::Service> {
        FeedServiceServer::new(feed_service::Service(self.context.clone())).max_encoding_message_size(MAX_REQUEST)
    }

    /// The service for the other replicas.
    #[must_use]
    pub fn shard_server(&self) -> ShardServiceServer<shard_service::Service> {
        ShardServiceServer::new(shard_service::Service(self.context.clone()))
            .max_decoding_message_size(MAX_REQUEST)
            .max_encoding_message_size(MAX_REQUEST)
    }

    /// Why the replica cannot do its work, now and later; nothing while it can.
    #[must_use]
    pub fn condition(&self) -> watch::Receiver<Option<String>> {
        self.condition.clone()
    }

    /// In how many shards calls are answered by this replica.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.context.owner.stays().serving().len()
    }

    /// The service for workers.
    #[must_use]
    pub fn worker_server(&self) -> WorkerServiceServer<worker_service::Service> {
        WorkerServiceServer::new(worker_service::Service(self.context.clone()))
            .max_decoding_message_size(MAX_REQUEST)
            .max_encoding_message_size(MAX_REQUEST)
    }
}

/// How the service ends: when it takes its leave, and when everything in the background stops.
struct Ends {
    leaving: CancellationToken,
    background: Background,
}

/// What a service has that shares with others.
struct Sharing {
    membership: Arc<dyn Membership>,
    nudge: Nudge,
    lending: Arc<dyn Lend>,
    stands: watch::Receiver<bool>,
    addressed: watch::Receiver<Option<String>>,
}

/// What owner and service have in common.
struct Parts {
    plans: Plans,
    sessions: Sessions,
    waiting: Waiting,
    events: Notifier,
    logs: Notifier,
}

impl Parts {
    fn new(dependencies: &Dependencies) -> Self {
        Self {
            plans: Plans::new(dependencies.definitions.clone()),
            sessions: Sessions::new(Clock::clone(&dependencies.steady)),
            waiting: Waiting::default(),
            events: Notifier::default(),
            logs: Notifier::default(),
        }
    }

    fn owner(&self, dependencies: &Dependencies, background: &Background) -> owner::Dependencies {
        owner::Dependencies {
            journal: dependencies.store.clone(),
            dispatch: Arc::clone(&dependencies.dispatch),
            plans: Arc::new(self.plans.clone()),
            workers: Arc::new(Connected {
                waiting: self.waiting.clone(),
                sessions: self.sessions.clone(),
            }),
            events: self.events.clone(),
            clock: Clock::clone(&dependencies.clock),
            steady: Clock::clone(&dependencies.steady),
            limits: dependencies.limits,
            ids: dependencies.ids.clone(),
            background: background.clone(),
        }
    }

    fn assemble(
        self,
        dependencies: Dependencies,
        owner: Owner,
        router: Router,
        ends: Ends,
        sharing: Option<Sharing>,
    ) -> Execution {
        let (stands, addressed) = sharing.as_ref().map_or_else(
            || (watch::channel(true).1, watch::channel(None).1),
            |sharing| (sharing.stands.clone(), sharing.addressed.clone()),
        );
        let signs = Signs {
            standing: stands,
            database: sharing.as_ref().map_or_else(
                || Arc::from("the database"),
                |sharing| Arc::clone(sharing.membership.place()),
            ),
            trouble: owner.troubles().watch(),
            address: addressed,
        };
        let (told, condition) = watch::channel(Some("it is starting".to_owned()));
        let Ends { leaving, background } = ends;
        let shutdown = background.shutdown().clone();
        background.spawn("watch over its condition", signs.watch(told, shutdown.clone()));
        let (nudge, lending, membership) = match sharing {
            Some(sharing) => (Some(sharing.nudge), Some(sharing.lending), Some(sharing.membership)),
            None => (None, None, None),
        };
        if let Some(retention) = dependencies.retention {
            let (store, clock) = (Arc::clone(&dependencies.store), Clock::clone(&dependencies.clock));
            let removal = retention::run(store, clock, retention, shutdown.clone());
            background.spawn("removal of old executions", removal);
        }
        let feed = Arc::clone(&dependencies.feed.feed);
        let keeping = feed_keeping::run(dependencies.feed, Clock::clone(&dependencies.clock), shutdown.clone());
        background.spawn("keeping of the feed", keeping);
        let context = Context {
            feed,
            clock: dependencies.clock,
            recorder: dependencies.recorder,
            reads: dependencies.store.clone(),
            lines: dependencies.store,
            dispatch: dependencies.dispatch,
            owner,
            router,
            nudge,
            lending,
            membership,
            plans: self.plans,
            secrets: worker_operations::secrets::vault(dependencies.definitions),
            results: dependencies.results,
            sessions: self.sessions,
            waiting: self.waiting,
            idle: Idle::default(),
            events: self.events,
            logs: self.logs,
            ids: dependencies.ids,
            leaving,
            shutdown,
        };
        background.spawn("sweep of silent sessions", ending::sweep(context.clone()));
        Execution { context, condition }
    }
}
