//! The role definitions: workflows and their revisions, on Postgres.

use std::sync::Arc;
use std::time::Duration;

use nexus_definitions::Definitions;
use nexus_definitions::store::StoreError;
use nexus_definitions::store::postgres::PostgresStore;
use nexus_mesh::{system_clock, transport};
use tonic::service::{Routes, RoutesBuilder};

use super::ServeError;
use super::frame::{Frame, Local};
use super::patience::until_there;
use super::role::Role;

const ROLE: &str = "definitions";

/// Opens the store, offers the service to roles of the same process, and is ready.
pub(super) async fn start(frame: &Frame) -> Result<Box<dyn Role>, ServeError> {
    let readiness = frame.readiness(ROLE, &["nexus.definitions.v1.DefinitionsService"]);
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
    let opened = until_there(&readiness, "its database (database.url)", open).await;
    let store = opened.map_err(|error: StoreError| refused(error))?;
    let service = Definitions::new(Arc::new(store.clone()), system_clock());
    frame.offer(Local::Definitions, transport::in_process(Routes::new(service.server())));
    readiness.ready();
    Ok(Box::new(Running { service, store }))
}

fn refused(error: impl std::fmt::Display) -> ServeError {
    let problem = format!("its database (database.url) cannot be used: {error}");
    ServeError::Role { role: ROLE, problem }
}

struct Running {
    service: Definitions,
    store: PostgresStore,
}

#[tonic::async_trait]
impl Role for Running {
    fn name(&self) -> &'static str {
        ROLE
    }

    fn add_routes(&self, routes: &mut RoutesBuilder) {
        routes.add_service(self.service.server());
    }

    fn drain_limit(&self) -> Duration {
        Duration::from_secs(1)
    }

    // Every call stands for itself.
    async fn drain(&mut self) {}

    async fn stop(self: Box<Self>) {
        self.store.close().await;
    }
}
