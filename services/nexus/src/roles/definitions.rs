//! The role definitions: workflows and their revisions, and secrets.

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt;
use nexus_definitions::Definitions;
use nexus_definitions::secrets::Secrets;
use nexus_definitions::secrets::file::FileKeys;
use nexus_definitions::secrets::keys::{KeyRing, Keys};
use nexus_definitions::secrets::random::system_random;
use nexus_definitions::store::postgres::PostgresStore;
use nexus_definitions::store::secrets::SecretStore;
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
const SERVICES: &[&str] = &[
    "nexus.definitions.v1.DefinitionsService",
    "nexus.definitions.v1.SecretsService",
];

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

/// Opens the store, offers the services to roles of the same process, and is ready.
async fn start(frame: &Frame) -> Result<Box<dyn Role>, StartError> {
    let readiness = frame.readiness(ROLE, SERVICES);
    let keys = keys(frame)?;
    let opened = match frame.backends() {
        Backends::Shared => shared(frame, &readiness).await?,
        Backends::Embedded(folder) => embedded(folder).await?,
    };
    // One for both: whoever ships what waits hears of it by that.
    let recorder = frame.recorder();
    let service = Definitions::new(opened.store, system_clock(), recorder.clone());
    let secrets = Secrets::new(opened.secrets, keys, system_random(), system_clock(), recorder);
    if let Err(error) = secrets.check_keys().await {
        tracing::warn!(%error, "it is not known whether every key of the secrets is there");
    }
    let background = Background::new(CancellationToken::new());
    let ship = |log| {
        let (service, shutdown) = (service.clone(), background.shutdown().clone());
        background.spawn(
            "shipping to the audit log",
            async move { service.ship(log, shutdown).await },
        )
    };
    let task = frame.audit_log(ROLE)?.map(ship);
    let mut routes = Routes::builder();
    routes.add_service(service.server()).add_service(secrets.server());
    frame.offer(Local::Definitions, routes.routes());
    readiness.ready();
    Ok(Box::new(Running {
        service,
        secrets,
        background,
        task,
        close: opened.close,
    }))
}

/// The keys that secrets are encrypted with. Where everything is in one folder they are too, and made when they are missing.
fn keys(frame: &Frame) -> Result<Arc<dyn Keys>, StartError> {
    let (set, random) = (&frame.config().secrets, system_random());
    match (&set.key_file, &set.keys) {
        (Some(_), Some(_)) => Err(StartError::of(
            ROLE,
            "secrets.keys",
            "secrets.key_file is set too; set one of them",
        )),
        (Some(file), None) => {
            let opened = match frame.backends() {
                Backends::Shared => FileKeys::open(file.clone(), random),
                Backends::Embedded(_) => FileKeys::open_or_make(file.clone(), random),
            };
            let keys = opened.map_err(|error| StartError::of(ROLE, "secrets.key_file", error))?;
            Ok(Arc::new(keys))
        }
        (None, Some(keys)) => {
            let ring = KeyRing::parse(keys.expose(), random);
            Ok(Arc::new(
                ring.map_err(|error| StartError::of(ROLE, "secrets.keys", error))?,
            ))
        }
        (None, None) => Ok(Arc::new(KeyRing::empty(random))),
    }
}

/// A store and how it is closed.
struct Opened {
    store: Arc<dyn Store>,
    secrets: Arc<dyn SecretStore>,
    close: Close,
}

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
    Ok(Opened {
        store: Arc::new(store.clone()),
        secrets: Arc::new(store),
        close: Box::new(|| async move { closing.close().await }.boxed()),
    })
}

const DATABASE: &str = "its database (database.url)";

async fn embedded(folder: &Path) -> Result<Opened, StartError> {
    let opened = SqliteStore::open(folder).await;
    let store = opened.map_err(|error| StartError::of(ROLE, "its database", error))?;
    let closing = store.clone();
    Ok(Opened {
        store: Arc::new(store.clone()),
        secrets: Arc::new(store),
        close: Box::new(|| async move { closing.close().await }.boxed()),
    })
}

struct Running {
    service: Definitions,
    secrets: Secrets,
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
        routes
            .add_service(self.service.server())
            .add_service(self.secrets.server());
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
