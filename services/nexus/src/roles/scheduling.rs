//! The role scheduling: what starts by itself.

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt;
use nexus_mesh::health::RoleReadiness;
use nexus_mesh::system_clock;
use nexus_scheduling::Scheduling;
use nexus_scheduling::store::postgres::PostgresStore;
use nexus_scheduling::store::sqlite::SqliteStore;
use nexus_scheduling::store::{Store, StoreError};
use nexus_service::startup::{passes, until_there};
use nexus_service::{Background, Role};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};

use super::frame::{Backends, Close, Frame, Local};
use super::{Entry, Schema, StartError};
use crate::config::RoleName;

const ROLE: &str = "scheduling";
const SERVICES: &[&str] = &["nexus.scheduling.v1.SchedulingService"];
const DATABASE: &str = "its database (database.url)";

pub(super) const ENTRY: Entry = Entry {
    name: RoleName::Scheduling,
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

/// Opens the store and begins to fire. While the execution service is away, what fires waits for it.
async fn start(frame: &Frame) -> Result<Box<dyn Role>, StartError> {
    nexus_scheduling::describe_metrics();
    let readiness = frame.readiness(ROLE, SERVICES);
    let (store, close) = match frame.backends() {
        Backends::Shared => shared(frame, &readiness).await?,
        Backends::Embedded(folder) => embedded(folder).await?,
    };
    let executions = frame.own_way(Local::Execution, ROLE)?;
    let service = Scheduling::new(store, executions, frame.recorder());
    let background = Background::new(CancellationToken::new());
    let retention = frame.config().scheduling.fire_retention.0.as_micros();
    let mut tasks = service.start(&background, i64::try_from(retention).unwrap_or(i64::MAX));
    if let Some(log) = frame.audit_log(ROLE)? {
        let (service, shutdown) = (service.clone(), background.shutdown().clone());
        let ship = async move { service.ship(log, shutdown).await };
        tasks.push(background.spawn("shipping to the audit log", ship));
    }
    let mut routes = Routes::builder();
    routes.add_service(service.server());
    frame.offer(Local::Scheduling, routes.routes());
    readiness.ready();
    Ok(Box::new(Running {
        service,
        background,
        tasks,
        close,
    }))
}

async fn shared(frame: &Frame, readiness: &RoleReadiness) -> Result<(Arc<dyn Store>, Close), StartError> {
    let (url, options) = frame.database(ROLE)?;
    let open = async || {
        let store = PostgresStore::connect(&url, options.clone()).await?;
        if frame.config().database.migrate {
            store.migrate().await?;
        } else {
            store.verify().await?;
        }
        Ok(store)
    };
    let passes = |error: &StoreError| matches!(error, StoreError::Database(error) if passes(error));
    let opened = until_there(readiness, DATABASE, passes, open).await;
    let store = opened.map_err(|error| StartError::of(ROLE, DATABASE, error))?;
    let closing = store.clone();
    Ok((
        Arc::new(store),
        Box::new(|| async move { closing.close().await }.boxed()),
    ))
}

async fn embedded(folder: &Path) -> Result<(Arc<dyn Store>, Close), StartError> {
    let opened = SqliteStore::open(folder, system_clock()).await;
    let store = opened.map_err(|error| StartError::of(ROLE, "its database", error))?;
    let closing = store.clone();
    Ok((
        Arc::new(store),
        Box::new(|| async move { closing.close().await }.boxed()),
    ))
}

struct Running {
    service: Scheduling,
    background: Background,
    tasks: Vec<JoinHandle<()>>,
    close: Close,
}

#[tonic::async_trait]
impl Role for Running {
    fn name(&self) -> &'static str {
        ROLE
    }

    fn add_routes(&self, routes: &mut RoutesBuilder) {
        routes.add_service(self.service.server());
    }

    async fn broken(&self) -> String {
        self.background.broken().await
    }

    async fn stop(self: Box<Self>) {
        self.background.shutdown().cancel();
        // What is under way is at most one call to the execution service, and can be begun anew.
        for task in self.tasks {
            task.abort();
            drop(task.await);
        }
        (self.close)().await;
    }
}
