//! The role definitions: workflows and their revisions.

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt;
use nexus_definitions::Definitions;
use nexus_definitions::store::postgres::PostgresStore;
use nexus_definitions::store::sqlite::SqliteStore;
use nexus_definitions::store::{Store, StoreError};
use nexus_mesh::health::RoleReadiness;
use nexus_mesh::system_clock;
use nexus_service::startup::{passes, until_there};
use nexus_service::{Background, Role};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};

use super::frame::{Backends, Close, Frame, Local};
use super::{Entry, Schema, StartError};
use crate::config::RoleName;

const ROLE: &str = "definitions";

pub(super) const ENTRY: Entry = Entry {
    name: RoleName::Definitions,
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

/// Opens the store, offers the service to roles of the same process, and is ready.
async fn start(frame: &Frame) -> Result<Box<dyn Role>, StartError> {
    let readiness = frame.readiness(ROLE, &["nexus.definitions.v1.DefinitionsService"]);
    let (store, close) = match frame.backends() {
        Backends::Shared => shared(frame, &readiness).await?,
        Backends::Embedded(folder) => embedded(folder).await?,
    };
    let service = Definitions::new(store, system_clock(), frame.recorder());
    let background = Background::new(CancellationToken::new());
    let ship = |log| {
        let (service, shutdown) = (service.clone(), background.shutdown().clone());
        background.spawn(
            "shipping to the audit log",
            async move { service.ship(log, shutdown).await },
        )
    };
    let task = frame.audit_log(ROLE)?.map(ship);
    frame.offer(Local::Definitions, Routes::new(service.server()));
    readiness.ready();
    Ok(Box::new(Running {
        service,
        background,
        task,
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

const DATABASE: &str = "its database (database.url)";

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
    service: Definitions,
    background: Background,
    task: Option<JoinHandle<()>>,
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
        if let Some(task) = self.task {
            // A task of the background never fails; it has told already if it broke.
            drop(task.await);
        }
        (self.close)().await;
    }
}
