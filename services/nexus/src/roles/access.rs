//! The role access: users, roles, API keys, sessions, and whose a credential is.

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt;
use nexus_access::oidc::settings::{Given, Settings};
use nexus_access::passwords::{Cost, Passwords};
use nexus_access::store::postgres::PostgresStore;
use nexus_access::store::sqlite::SqliteStore;
use nexus_access::store::{Store, StoreError};
use nexus_access::tokens::{Secret, system_random};
use nexus_access::{Access, Parts};
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

const ROLE: &str = "access";
const DATABASE: &str = "its database (database.url)";

pub(super) const ENTRY: Entry = Entry {
    name: RoleName::Access,
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

/// Opens the store, offers the first administrator while there is none, and is ready.
async fn start(frame: &Frame) -> Result<Box<dyn Role>, StartError> {
    nexus_access::describe_metrics();
    let readiness = frame.readiness(ROLE, nexus_access::SERVICES);
    let parts = parts(frame)?;
    let (store, close) = match frame.backends() {
        Backends::Shared => shared(frame, &readiness).await?,
        Backends::Embedded(folder) => embedded(folder).await?,
    };
    let service = Access::new(store, parts);
    let mut routes = Routes::builder();
    routes
        .add_service(service.access())
        .add_service(service.authentication())
        .add_service(service.calls())
        .add_service(service.audit());
    frame.offer(Local::Access, routes.routes());
    // Where nobody is asked for a credential there is nothing to claim.
    let claim = match frame.is_guarded() {
        true => service.claim().await,
        false => Ok(None),
    };
    let claim = claim.map_err(|error| StartError::of(ROLE, "its database", error))?;
    if let (Some(token), Backends::Embedded(_)) = (&claim, frame.backends()) {
        frame.offer_claim(token.expose());
    } else if let Some(token) = claim {
        tracing::warn!(
            claim_token = token.expose(),
            "there is no administrator yet: `nexus login --claim <token> --user <name>` makes one, once and until the next start \
             (docs/access.md)"
        );
    }
    let background = Background::new(CancellationToken::new());
    let mut tasks = service.start(&background);
    tasks.extend(frame.audit_log(ROLE)?.map(|log| service.ship(&background, log)));
    readiness.ready();
    Ok(Box::new(Running {
        service,
        background,
        tasks,
        close,
    }))
}

fn parts(frame: &Frame) -> Result<Parts, StartError> {
    let config = frame.config();
    let (random, oidc) = (system_random(), &config.oidc);
    let passwords = Passwords::new(Cost::default(), random.clone());
    let given = Given {
        issuer: oidc.issuer.clone(),
        client_id: oidc.client_id.clone(),
        client_secret: oidc.client_secret.as_ref().map(|secret| Secret::new(secret.expose())),
        audience: oidc.audience.clone(),
        redirect_uris: oidc.redirect_uris.clone(),
        groups_claim: oidc.groups_claim.clone(),
        grants: oidc.grants.clone(),
    };
    let provider = Settings::read(given).map_err(|error| StartError::of(ROLE, "the OpenID provider", error))?;
    Ok(Parts {
        clock: system_clock(),
        passwords: passwords.map_err(|error| StartError::of(ROLE, "argon2", error))?,
        random,
        session_lifetime: config.access.session_lifetime.0,
        provider,
        recorder: frame.recorder(),
        audit_retention: Some(config.audit.retention.0).filter(|keep| !keep.is_zero()),
    })
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
    service: Access,
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
        routes.add_service(self.service.access());
        routes.add_service(self.service.authentication());
        routes.add_service(self.service.calls());
        routes.add_service(self.service.audit());
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
