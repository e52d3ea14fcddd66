//! The role gateway: REST over the contracts of the other services, on the same port as gRPC.

use futures::FutureExt;
use nexus_gateway::forward::{Definitions, Executions, Forward};
use nexus_gateway::{Gateway, Guard, Options};
use nexus_mesh::front::Http;
use nexus_service::Role;
use tonic::service::RoutesBuilder;

use super::frame::{Frame, Local};
use super::{Entry, StartError};
use crate::config::RoleName;

const ROLE: &str = "gateway";

pub(super) const ENTRY: Entry = Entry {
    name: RoleName::Gateway,
    start: |frame| async move { start(frame) }.boxed_local(),
    schema: None,
};

/// It keeps nothing and is ready at once: what a service cannot answer, it says itself.
fn start(frame: &Frame) -> Result<Box<dyn Role>, StartError> {
    nexus_gateway::describe_metrics();
    let readiness = frame.readiness(ROLE, &[]);
    let ways = vec![
        ("nexus.definitions.", frame.definitions()?),
        ("nexus.execution.", frame.executions()?),
        // A session of a worker is with one replica.
        ("nexus.worker.", frame.one_execution()?),
    ];
    let set = &frame.config().gateway;
    let options = Options {
        guard: Guard {
            hosts: set.allowed_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            origins: set.cors_origins.clone(),
        },
        max_body_bytes: set.max_body_bytes,
        max_streams: set.max_streams,
        max_in_flight: frame.config().limits.max_in_flight,
    };
    let gateway = Gateway::new(ways, options, frame.all_readiness())
        .map_err(|error| StartError::of(ROLE, "the contracts", error))?;
    // What a role of this process answers needs nobody to pass it on.
    let apart = |service, way| (!frame.is_local(service)).then_some(way);
    let definitions = apart(Local::Definitions, frame.definitions()?).map(Forward::new);
    let executions = apart(Local::Execution, frame.executions()?).map(Forward::new);
    readiness.ready();
    Ok(Box::new(Running {
        gateway,
        definitions,
        executions,
    }))
}

struct Running {
    gateway: Gateway,
    definitions: Option<Forward<Definitions>>,
    executions: Option<Forward<Executions>>,
}

#[tonic::async_trait]
impl Role for Running {
    fn name(&self) -> &'static str {
        ROLE
    }

    fn add_routes(&self, routes: &mut RoutesBuilder) {
        if let Some(definitions) = &self.definitions {
            routes.add_service(definitions.clone());
        }
        if let Some(executions) = &self.executions {
            routes.add_service(executions.clone());
        }
    }

    fn http(&self) -> Option<Http> {
        Some(self.gateway.http())
    }

    async fn drain(&mut self) {
        self.gateway.leave();
    }

    async fn stop(self: Box<Self>) {}
}
