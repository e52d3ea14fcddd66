//! The role notifications: channels, rules, and messages about executions.

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt;
use nexus_egress::Allowed;
use nexus_mesh::health::RoleReadiness;
use nexus_mesh::system_clock;
use nexus_notifications::store::postgres::PostgresStore;
use nexus_notifications::store::sqlite::SqliteStore;
use nexus_notifications::store::{Store, StoreError};
use nexus_notifications::{Notifications, Parts};
use nexus_service::startup::{passes, until_there};
use nexus_service::{Background, Role};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};

use super::frame::{Backends, Close, Frame, Local};
use super::{Entry, Schema, StartError};
use crate::config::RoleName;

const ROLE: &str = "notifications";
const DATABASE: &str = "its database (database.url)";
const SERVICES: &[&str] = &["nexus.notifications.v1.NotificationsService"];

pub(super) const ENTRY: Entry = Entry {
    name: RoleName::Notifications,
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

/// Opens the store, begins to read and to send, and is ready: while the services that it reads from are away it goes on with
/// what it has.
async fn start(frame: &Frame) -> Result<Box<dyn Role>, StartError> {
    let readiness = frame.readiness(ROLE, SERVICES);
    let set = &frame.config().notifications;
    let allowed = Allowed::parse(&set.egress_allow);
    let allowed = allowed.map_err(|error| StartError::of(ROLE, "notifications.egress_allow", error))?;
    let (store, close) = match frame.backends() {
        Backends::Shared => shared(frame, &readiness).await?,
        Backends::Embedded(folder) => embedded(folder).await?,
    };
    let service = Notifications::new(Parts {
        store,
        clock: system_clock(),
        recorder: frame.recorder(),
        definitions: frame.own_way(Local::Definitions, ROLE)?,
        executions: frame.own_way(Local::Execution, ROLE)?,
        allowed,
        public_url: set.public_url.clone(),
        retention: set.retention.0,
        holder: format!("{}-{}", frame.advertise, std::process::id()),
    });
    let background = Background::new(CancellationToken::new());
    let mut tasks = service.start(&background);
    tasks.extend(frame.audit_log(ROLE)?.map(|log| service.ship(&background, log)));
    let mut routes = Routes::builder();
    routes.add_service(service.server());
    frame.offer(Local::Notifications, routes.routes());
    readiness.ready();
    Ok(Box::new(Running {
        service,
        background,
        tasks,
        close,
    }))
}

/// A store and how it is closed.
type Opened = (Arc<dyn Store>, Close);

async fn shared(frame: &Frame, readiness: &RoleReadiness) -> Result<Opened, StartError> {
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

async fn embedded(folder: &Path) -> Result<Opened, StartError> {
    let opened = SqliteStore::open(folder).await;
    let store = opened.map_err(|error| StartError::of(ROLE, "its database", error))?;
    let closing = store.clone();
    Ok((
        Arc::new(store),
        Box::new(|| async move { closing.close().await }.boxed()),
    ))
}

struct Running {
    service: Notifications,
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
        for task in self.tasks {
            // A task of the background never fails; it has told already if it broke.
            drop(task.await);
        }
        (self.close)().await;
    }
}
