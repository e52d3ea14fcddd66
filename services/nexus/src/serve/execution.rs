//! The role execution: executions, tasks and workers' leases, on Postgres and Redis, shared with other replicas.

use std::sync::Arc;
use std::time::Duration;

use nexus_execution::store::StoreError;
use nexus_execution::store::postgres::PostgresStore;
use nexus_execution::{Connect, Dependencies, Ends, Execution, Ids, Limits, Replication, Retention, Turn};
use nexus_mesh::health::RoleReadiness;
use nexus_mesh::{steady_clock, system_clock, transport};
use nexus_streams::RedisDispatch;
use nexus_streams::redis::cache::Cache;
use nexus_streams::redis::lock::Lock;
use nexus_streams::redis::{Link, RedisOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};

use crate::config::Config;

use super::ServeError;
use super::dependencies::{self, Dependency};
use super::frame::{Frame, Local};
use super::namespace::{self, Namespace};
use super::patience::until_there;
use super::role::Role;

const ROLE: &str = "execution";
const SERVICES: &[&str] = &["nexus.execution.v1.ExecutionService", "nexus.worker.v1.WorkerService"];
/// What leaving may take beyond the hand-over.
const FAREWELL: Duration = Duration::from_secs(5);

/// Opens the store and the dispatcher, joins the other replicas, offers the service to roles of the same process, and is
/// ready while its membership is fresh.
pub(super) async fn start(frame: &Frame) -> Result<Box<dyn Role>, ServeError> {
    nexus_execution::metrics::describe();
    namespace::describe();
    let config = frame.config();
    let readiness = frame.readiness(ROLE, SERVICES);
    let (url, options) = frame.database(ROLE)?;
    let open = async || {
        let store = PostgresStore::connect(&url, options.clone()).await?;
        if config.database.migrate {
            store.migrate().await?;
        } else {
            store.verify().await?;
        }
        let mesh = store.mesh().await?;
        Ok((store, mesh))
    };
    let opened = until_there(&readiness, "its database (database.url)", open).await;
    let (store, mesh) = opened.map_err(|error: StoreError| broken("its database (database.url)", error))?;
    let redis = RedisOptions {
        namespace: config.redis.namespace.clone(),
        tls: config.redis.tls(),
        ..RedisOptions::new(frame.redis()?)
    };
    let dispatch_end = CancellationToken::new();
    let dispatch = RedisDispatch::start(redis, &dispatch_end)
        .await
        .map_err(|error| broken("Redis", error))?;
    let dispatch = Arc::new(dispatch);
    let dependencies = Dependencies {
        store: Arc::new(store.clone()),
        dispatch: dispatch.clone(),
        definitions: frame.definitions()?,
        clock: system_clock(),
        steady: steady_clock(),
        ids: Ids::system(),
        limits: Limits {
            executions: config.execution.max_live,
            ..Limits::default()
        },
        results: Arc::new(Cache::new(
            dispatch.link(),
            format!("nexus:{}:result:", config.redis.namespace),
        )),
        retention: retention(config, &dispatch),
    };
    let replication = Replication {
        membership: Arc::new(store.clone()),
        address: frame.advertise.clone(),
        connect: connect(frame),
        lending: dispatch.clone(),
        drain: config.execution.drain_timeout.0,
    };
    let ends = Ends::default();
    let (service, left, finished) = Execution::join(dependencies, replication, ends.clone())
        .await
        .map_err(|error| broken("the membership", error))?;
    let mut routes = Routes::builder();
    routes
        .add_service(service.execution_server())
        .add_service(service.worker_server());
    frame.offer(Local::Execution, transport::in_process(routes.routes()));
    let (clash, clashes) = watch::channel(None);
    let namespace = Namespace {
        name: config.redis.namespace.clone(),
        mesh,
        link: dispatch.link(),
    };
    tokio::spawn(namespace.watch(clash, ends.shutdown.clone()));
    let answered = definitions_answer(frame, &readiness, &ends.shutdown)?;
    tokio::spawn(namespace::tell(readiness, service.condition(), answered, clashes));
    Ok(Box::new(Running {
        service,
        store,
        dispatch,
        ends,
        left,
        finished,
        limit: config.execution.drain_timeout.0 + FAREWELL,
    }))
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

/// How other replicas are reached, each by the address that it advertises.
fn connect(frame: &Frame) -> Connect {
    let client = frame.client().clone();
    Arc::new(move |address| transport::connect_one(address, &client).map_err(|error| error.to_string()))
}

fn broken(what: &str, error: impl std::fmt::Display) -> ServeError {
    let problem = format!("{what} cannot be used: {error}");
    ServeError::Role { role: ROLE, problem }
}

/// Whether the definitions service has answered; at once where it is a role of this process.
fn definitions_answer(
    frame: &Frame,
    readiness: &RoleReadiness,
    shutdown: &CancellationToken,
) -> Result<watch::Receiver<bool>, ServeError> {
    let (answered, answers) = watch::channel(frame.is_local(Local::Definitions));
    if *answers.borrow() {
        return Ok(answers);
    }
    dependencies::describe();
    let definitions = Dependency {
        name: "definitions",
        address: frame.config().definitions.address.clone().unwrap_or_default(),
        transport: frame.definitions()?,
    };
    tokio::spawn(definitions.watch(readiness.clone(), answered, shutdown.clone()));
    Ok(answers)
}

struct Running {
    service: Execution,
    store: PostgresStore,
    dispatch: Arc<RedisDispatch>,
    ends: Ends,
    left: JoinHandle<()>,
    finished: JoinHandle<()>,
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
            .add_service(self.service.worker_server())
            .add_service(self.service.shard_server());
    }

    async fn broke(&mut self) -> String {
        match (&mut self.finished).await {
            Ok(()) => "its loop ended".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn drain_limit(&self) -> Duration {
        self.limit
    }

    async fn drain(&mut self) {
        self.ends.leaving.cancel();
        if let Err(error) = (&mut self.left).await {
            tracing::error!(%error, "the membership broke");
        }
    }

    async fn stop(self: Box<Self>) {
        self.ends.leaving.cancel();
        self.ends.shutdown.cancel();
        if !self.finished.is_finished()
            && let Err(error) = self.finished.await
        {
            tracing::error!(%error, "the owner's loop broke");
        }
        self.dispatch.close().await;
        self.store.close().await;
    }
}
