//! The role execution: executions, tasks and workers' leases; one of several replicas, or the only one.

mod redis_namespace;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use nexus_execution::results::{MemoryResults, Results};
use nexus_execution::{
    Always, Dependencies, Execution, FeedKeeping, Ids, Limits, OwnerError, Replication, Retention, Turn,
};
use nexus_execution_sql::{PostgresStore, SqliteStore};
use nexus_execution_store::{Store, StoreError};
use nexus_mesh::health::RoleReadiness;
use nexus_mesh::{steady_clock, system_clock};
use nexus_service::dependency::{self, Dependency};
use nexus_service::startup::{passes, until_there};
use nexus_service::{Background, Role};
use nexus_storage::outbox::Outbox;
use nexus_streams::redis::cache::Cache;
use nexus_streams::redis::lock::Lock;
use nexus_streams::redis::{Link, RedisOptions};
use nexus_streams::{Dispatch, MemoryDispatch, RedisDispatch};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};

use super::frame::{Backends, Close, Frame, Local};
use super::{Entry, Schema, StartError};
use crate::config::{Config, RoleName};
use redis_namespace::RedisNamespace;

const ROLE: &str = "execution";
const SERVICES: &[&str] = &[
    "nexus.execution.v1.ExecutionService",
    "nexus.feed.v1.FeedService",
    "nexus.worker.v1.WorkerService",
];
const DATABASE: &str = "its database (database.url)";
/// Pointers that wait in memory at most; what exceeds it is offered again by the reconciler.
const DISPATCH_CAPACITY: usize = 1_000_000;
/// What leaving may take beyond the hand-over.
const FAREWELL: Duration = Duration::from_secs(5);

pub(super) const ENTRY: Entry = Entry {
    name: RoleName::Execution,
    start: |frame| start(frame).boxed_local(),
    schema: Some(Schema {
        name: ROLE,
        migrate: |url, options| {
            async move {
                let store = PostgresStore::connect(&url, options).await?;
                store.migrate().await?;
                store.close().await;
                Ok::<(), StoreError>(())
            }
            .map(|done| done.map_err(|error| error.to_string()))
            .boxed()
        },
    }),
};

/// Opens the store and the dispatcher, takes what it owns over, and offers the service to roles of the same process.
async fn start(frame: &Frame) -> Result<Box<dyn Role>, StartError> {
    nexus_execution::metrics::describe();
    nexus_supervise::describe();
    let readiness = frame.readiness(ROLE, SERVICES);
    let running = match frame.backends() {
        Backends::Shared => shared(frame, readiness).await?,
        Backends::Embedded(folder) => embedded(frame, readiness, folder).await?,
    };
    let mut routes = Routes::builder();
    routes
        .add_service(running.service.execution_server())
        .add_service(running.service.feed_server())
        .add_service(running.service.worker_server());
    frame.offer(Local::Execution, routes.routes());
    Ok(Box::new(running))
}

/// One of several replicas, on Postgres and Redis. It is ready while its membership is fresh.
async fn shared(frame: &Frame, readiness: RoleReadiness) -> Result<Running, StartError> {
    redis_namespace::describe();
    let config = frame.config();
    let (store, mesh) = open(frame, &readiness).await?;
    let background = Background::new(CancellationToken::new());
    // It ends when it is closed, after everything else of the role.
    let dispatch = RedisDispatch::start(redis(frame)?, &CancellationToken::new())
        .await
        .map_err(|error| StartError::of(ROLE, "Redis", error))?;
    let dispatch = Arc::new(dispatch);
    let results = format!("nexus:{}:result:", config.redis.namespace);
    let results = Arc::new(Cache::new(dispatch.link(), results));
    let dependencies = Dependencies {
        retention: retention(config, &dispatch),
        ..dependencies(
            frame,
            Arc::new(store.clone()),
            dispatch.clone(),
            (results, keeping(config, &dispatch, &store)),
        )?
    };
    let replication = Replication {
        membership: Arc::new(store.clone()),
        address: frame.advertise.clone(),
        connect: frame.replica_ways(),
        lending: dispatch.clone(),
        drain: config.execution.drain_timeout.0,
    };
    let leaving = CancellationToken::new();
    // A database that can be read and not written is found only here.
    let join = async || Execution::join(dependencies.clone(), replication.clone(), leaving.clone(), &background).await;
    let may_pass = |error: &OwnerError| matches!(error, OwnerError::Store(error) if may_pass(error));
    let joined = until_there(&readiness, DATABASE, may_pass, join).await;
    let (service, left, finished) = joined.map_err(|error| StartError::of(ROLE, DATABASE, error))?;
    watch(frame, readiness, &service, &dispatch, mesh, &background)?;
    ship(frame, &service, store.outbox(), &background)?;
    let closing = (Arc::clone(&dispatch), store);
    let close = || async move {
        closing.0.close().await;
        closing.1.close().await;
    };
    Ok(Running {
        service,
        background,
        dispatch: Some(dispatch),
        leaving: Some((leaving, left)),
        finished,
        close: Box::new(|| close().boxed()),
        limit: config.execution.drain_timeout.0 + FAREWELL,
    })
}

/// Takes what its changes tell of to the audit log, where there is one.
fn ship(
    frame: &Frame,
    service: &Execution,
    outbox: Arc<dyn Outbox>,
    background: &Background,
) -> Result<(), StartError> {
    let Some(log) = frame.audit_log(ROLE)? else {
        return Ok(());
    };
    let shutdown = background.shutdown().clone();
    let shipping = nexus_audit::ship::outbox(ROLE, outbox, service.recorder(), log, system_clock(), shutdown);
    // What is left at the end goes with the next start.
    background.spawn_dropped("shipping to the audit log", shipping);
    Ok(())
}

/// The only one, on SQLite files and a queue in memory.
async fn embedded(frame: &Frame, readiness: RoleReadiness, folder: &Path) -> Result<Running, StartError> {
    let opened = SqliteStore::open(folder).await;
    let store = opened.map_err(|error| StartError::of(ROLE, "its database", error))?;
    let dispatch = Arc::new(MemoryDispatch::new(DISPATCH_CAPACITY));
    let keep = frame.config().execution.retention.0;
    let feed = FeedKeeping {
        feed: Arc::new(store.clone()),
        keep: frame.config().execution.feed_retention.0,
        turn: Arc::new(Always),
    };
    let dependencies = Dependencies {
        retention: (!keep.is_zero()).then(|| Retention {
            keep,
            turn: Arc::new(Always),
        }),
        ..dependencies(
            frame,
            Arc::new(store.clone()),
            dispatch,
            (Arc::new(MemoryResults::default()), feed),
        )?
    };
    let background = Background::new(CancellationToken::new());
    let started = Execution::start(dependencies, &background).await;
    let (service, recovered, finished) = started.map_err(|error| StartError::of(ROLE, "what it has stored", error))?;
    frame.offer_executions(service.clone(), recovered);
    let tell = redis_namespace::tell_condition(readiness, service.condition());
    background.spawn_dropped("readiness", tell);
    ship(frame, &service, store.outbox(), &background)?;
    Ok(Running {
        service,
        background,
        dispatch: None,
        leaving: None,
        finished,
        close: Box::new(|| async move { store.close().await }.boxed()),
        limit: FAREWELL,
    })
}

/// What the service stands on in either case; old executions are kept for ever.
fn dependencies(
    frame: &Frame,
    store: Arc<dyn Store>,
    dispatch: Arc<dyn Dispatch>,
    (results, feed): (Arc<dyn Results>, FeedKeeping),
) -> Result<Dependencies, StartError> {
    Ok(Dependencies {
        store,
        dispatch,
        definitions: frame.own_way(Local::Definitions, ROLE)?,
        clock: system_clock(),
        steady: steady_clock(),
        ids: Ids::system(),
        limits: Limits {
            executions: frame.config().execution.max_live,
            ..Limits::default()
        },
        results,
        recorder: frame.recorder(),
        retention: None,
        feed,
    })
}

/// The store, and the name of the mesh whose it is, once Postgres is there.
async fn open(frame: &Frame, readiness: &RoleReadiness) -> Result<(PostgresStore, String), StartError> {
    let (url, options) = frame.database(ROLE)?;
    let open = async || {
        let store = PostgresStore::connect(&url, options.clone()).await?;
        if frame.config().database.migrate {
            store.migrate().await?;
        } else {
            store.verify().await?;
        }
        let mesh = store.mesh().await?;
        Ok((store, mesh))
    };
    let opened = until_there(readiness, DATABASE, may_pass, open).await;
    opened.map_err(|error| StartError::of(ROLE, DATABASE, error))
}

fn may_pass(error: &StoreError) -> bool {
    matches!(error, StoreError::Database(error) if passes(error))
}

fn redis(frame: &Frame) -> Result<RedisOptions, StartError> {
    let set = &frame.config().redis;
    Ok(RedisOptions {
        namespace: set.namespace.clone(),
        tls: set.tls(),
        ..RedisOptions::new(frame.redis()?)
    })
}

/// Watches over what else decides whether the replica is ready: who uses its namespace, and the definitions.
fn watch(
    frame: &Frame,
    readiness: RoleReadiness,
    service: &Execution,
    dispatch: &RedisDispatch,
    mesh: String,
    background: &Background,
) -> Result<(), StartError> {
    let (clash, clashes) = watch::channel(None);
    let namespace = RedisNamespace {
        name: frame.config().redis.namespace.clone(),
        mesh,
        link: dispatch.link(),
    };
    let shutdown = background.shutdown().clone();
    background.spawn("watch over the namespace", namespace.watch(clash, shutdown));
    let answered = definitions_answer(frame, &readiness, background)?;
    let tell = redis_namespace::tell(readiness, service.condition(), answered, clashes);
    background.spawn_dropped("readiness", tell);
    Ok(())
}

/// How long executions are kept; one of the replicas removes them, whoever has the lock in Redis.
fn retention(config: &Config, dispatch: &RedisDispatch) -> Option<Retention> {
    let keep = config.execution.retention.0;
    (!keep.is_zero()).then(|| Retention {
        keep,
        turn: Arc::new(InTurn {
            link: dispatch.link(),
            key: format!("nexus:{{{}}}:retention", config.redis.namespace),
        }),
    })
}

/// How long the feed is kept for readers that do not come.
fn keeping(config: &Config, dispatch: &RedisDispatch, store: &PostgresStore) -> FeedKeeping {
    FeedKeeping {
        feed: Arc::new(store.clone()),
        keep: config.execution.feed_retention.0,
        turn: Arc::new(InTurn {
            link: dispatch.link(),
            key: format!("nexus:{{{}}}:feed", config.redis.namespace),
        }),
    }
}

/// One of the replicas at a time. While Redis is away nobody is: what may go can wait.
#[derive(Debug)]
struct InTurn {
    link: Link,
    key: String,
}

#[tonic::async_trait]
impl Turn for InTurn {
    async fn take(&self, time: Duration) -> bool {
        // Left to run out, so that it is one round in so much time, whoever makes it.
        matches!(Lock::try_take(&self.link, &self.key, time).await, Ok(Some(_)))
    }
}

/// Whether the definitions service has answered; at once where it is a role of this process.
fn definitions_answer(
    frame: &Frame,
    readiness: &RoleReadiness,
    background: &Background,
) -> Result<watch::Receiver<bool>, StartError> {
    let (answered, answers) = watch::channel(frame.is_local(Local::Definitions));
    if *answers.borrow() {
        return Ok(answers);
    }
    dependency::describe();
    let definitions = Dependency {
        name: "definitions",
        address: frame.config().definitions.address.clone().unwrap_or_default(),
        transport: frame.own_way(Local::Definitions, ROLE)?,
    };
    let shutdown = background.shutdown().clone();
    background.spawn(
        "watch over definitions",
        definitions.watch(readiness.clone(), answered, shutdown),
    );
    Ok(answers)
}

struct Running {
    service: Execution,
    background: Background,
    /// Redis, where it is used.
    dispatch: Option<Arc<RedisDispatch>>,
    /// How it takes leave of other replicas, and when it has.
    leaving: Option<(CancellationToken, JoinHandle<()>)>,
    finished: JoinHandle<()>,
    close: Close,
    limit: Duration,
}

#[tonic::async_trait]
impl Role for Running {
    fn name(&self) -> &'static str {
        ROLE
    }

    fn add_routes(&self, routes: &mut RoutesBuilder) {
        routes
            .add_service(self.service.execution_server())
            .add_service(self.service.feed_server())
            .add_service(self.service.worker_server());
        if self.leaving.is_some() {
            routes.add_service(self.service.shard_server());
        }
    }

    async fn broken(&self) -> String {
        let of_redis = async {
            match &self.dispatch {
                Some(dispatch) => dispatch.broken().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            broken = self.background.broken() => broken,
            broken = of_redis => broken,
        }
    }

    fn drain_limit(&self) -> Duration {
        self.limit
    }

    async fn drain(&mut self) {
        if let Some((leaving, left)) = &mut self.leaving {
            leaving.cancel();
            // It never fails; what broke in it is told by the background.
            drop(left.await);
        }
    }

    async fn stop(self: Box<Self>) {
        if let Some((leaving, _)) = &self.leaving {
            leaving.cancel();
        }
        self.background.shutdown().cancel();
        drop(self.finished.await);
        (self.close)().await;
    }
}
