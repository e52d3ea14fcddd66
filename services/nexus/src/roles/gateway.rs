//! The role gateway: REST over the contracts of the other services, on the same port as gRPC.

use std::net::IpAddr;

use futures::FutureExt;
use nexus_gateway::forward::{
    Access, Audit, Authentication, Definitions, Executions, Forward, Notifications, Schedules,
};
use nexus_gateway::{Gateway, Options, Origins};
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
    let mut ways = vec![
        ("nexus.definitions.", frame.callers_way(Local::Definitions)?),
        ("nexus.execution.", frame.callers_way(Local::Execution)?),
        // Not for workers, whose sessions are each with one replica: what is served of it is one call apart.
        ("nexus.worker.", frame.callers_way(Local::Execution)?),
    ];
    let has_access = frame.is_local(Local::Access) || frame.config().access.address.is_some();
    if has_access {
        ways.push(("nexus.access.", frame.callers_way(Local::Access)?));
        ways.push(("nexus.audit.", frame.callers_way(Local::Access)?));
    }
    let calls = match has_access {
        true => Some(frame.own_way(Local::Access, ROLE)?),
        false => None,
    };
    let has_scheduling = frame.is_local(Local::Scheduling) || frame.config().scheduling.address.is_some();
    if has_scheduling {
        ways.push(("nexus.scheduling.", frame.callers_way(Local::Scheduling)?));
    }
    let has_notifications = frame.is_local(Local::Notifications) || frame.config().notifications.address.is_some();
    if has_notifications {
        ways.push(("nexus.notifications.", frame.callers_way(Local::Notifications)?));
    }
    let set = &frame.config().gateway;
    let door = frame.guard()?;
    let listen = frame.config().listen;
    let hosts = match set.allowed_hosts.is_empty() && door.is_open() && listen.ip().is_loopback() {
        // Where nobody is asked for a credential a web page could come by a name of its own that leads here.
        true => of_this_machine(listen.ip()),
        false => set.allowed_hosts.clone(),
    };
    let options = Options {
        door,
        origins: Origins {
            hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            origins: set.cors_origins.clone(),
        },
        max_body_bytes: set.max_body_bytes,
        max_streams: set.max_streams,
        max_in_flight: frame.config().limits.max_in_flight,
        calls,
    };
    let gateway = Gateway::new(ways, options, frame.all_readiness())
        .map_err(|error| StartError::of(ROLE, "the contracts", error))?;
    // What a role of this process answers needs nobody to pass it on.
    let apart = |service, way| (!frame.is_local(service)).then_some(way);
    let definitions = apart(Local::Definitions, frame.callers_way(Local::Definitions)?).map(Forward::new);
    let executions = apart(Local::Execution, frame.callers_way(Local::Execution)?).map(Forward::new);
    let access = match has_access {
        true => apart(Local::Access, frame.callers_way(Local::Access)?),
        false => None,
    };
    let schedules = match has_scheduling {
        true => apart(Local::Scheduling, frame.callers_way(Local::Scheduling)?).map(Forward::new),
        false => None,
    };
    let notifications = match has_notifications {
        true => apart(Local::Notifications, frame.callers_way(Local::Notifications)?).map(Forward::new),
        false => None,
    };
    readiness.ready();
    Ok(Box::new(Running {
        gateway,
        notifications,
        definitions,
        executions,
        schedules,
        access: access.map(|way| (Forward::new(way.clone()), Forward::new(way.clone()), Forward::new(way))),
    }))
}

/// The hosts that an address of the machine itself answers for.
pub(crate) fn of_this_machine(listen: IpAddr) -> Vec<String> {
    let mut hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let listen = listen.to_string();
    if !hosts.contains(&listen) {
        hosts.push(listen);
    }
    hosts
}

struct Running {
    gateway: Gateway,
    definitions: Option<Forward<Definitions>>,
    executions: Option<Forward<Executions>>,
    schedules: Option<Forward<Schedules>>,
    notifications: Option<Forward<Notifications>>,
    access: Option<(Forward<Authentication>, Forward<Access>, Forward<Audit>)>,
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
        if let Some(schedules) = &self.schedules {
            routes.add_service(schedules.clone());
        }
        if let Some(notifications) = &self.notifications {
            routes.add_service(notifications.clone());
        }
        if let Some((authentication, access, audit)) = &self.access {
            routes
                .add_service(authentication.clone())
                .add_service(access.clone())
                .add_service(audit.clone());
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
