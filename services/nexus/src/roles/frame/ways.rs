//! The ways between the services: within the process or over the network, on which a role shows who it is or passes on
//! what its callers show, and the guard that stands at every door.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use nexus_audit::denials::Denials;
use nexus_audit::origin::system_ids;
use nexus_auth::outgoing::{Shown, passing_on, showing};
use nexus_auth::rates::Rates;
use nexus_auth::service_key::{ServiceKey, ServiceKeys};
use nexus_auth::verify::{AccessService, Verify, VerifyError};
use nexus_auth::{Caller, Guard};
use nexus_mesh::transport::{self, AddressError, ClientOptions};
use nexus_mesh::{Transport, system_clock};
use tonic::service::Routes;

use super::super::StartError;
use crate::config::{Config, Effective, Secret};

/// The role that has a key of its own.
const WORKER: &str = "worker";

/// Services that a role of the same process may offer to the others without a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Local {
    Access,
    Definitions,
    Execution,
    Scheduling,
    Notifications,
}

impl Local {
    /// The key of its address, and what that says.
    fn address(self, config: &Config) -> (&'static str, Option<&str>) {
        match self {
            Self::Access => ("access.address", config.access.address.as_deref()),
            Self::Definitions => ("definitions.address", config.definitions.address.as_deref()),
            Self::Execution => ("execution.address", config.execution.address.as_deref()),
            Self::Scheduling => ("scheduling.address", config.scheduling.address.as_deref()),
            Self::Notifications => ("notifications.address", config.notifications.address.as_deref()),
        }
    }
}

type Connect = fn(&str, &ClientOptions) -> Result<Transport, AddressError>;

/// How services are reached from this process, and who is let in to its own.
pub(super) struct Ways {
    client: ClientOptions,
    keys: ServiceKeys,
    /// What the worker shows in the place of a service's token.
    api_key: Option<Shown>,
    /// Whether credentials are asked for.
    guarded: bool,
    local: Mutex<Vec<(Local, Routes)>>,
    guard: OnceLock<Guard>,
    denials: Denials,
}

impl Ways {
    pub(super) fn new(effective: &Effective, listen: SocketAddr, client: ClientOptions) -> Result<Self, StartError> {
        let auth = &effective.config.auth;
        let wrong = |key, problem: String| StartError::Config(effective.wrong(key, problem));
        let read = |name, key: &Option<_>| {
            let key = key.as_ref().map(|key: &Secret| ServiceKey::read(key.expose()));
            key.transpose()
                .map_err(|error| wrong(name, format!("cannot be used: {error}")))
        };
        let keys = ServiceKeys {
            service: read("auth.service_key", &auth.service_key)?,
            worker: read("auth.worker_key", &auth.worker_key)?,
        };
        let api_key = auth.api_key.as_ref().map(|key| {
            let unusable = || wrong("auth.api_key", "is not ASCII text".to_owned());
            Shown::key(key.expose()).ok_or_else(unusable)
        });
        Ok(Self {
            client,
            keys,
            api_key: api_key.transpose()?,
            guarded: auth.is_required(listen),
            local: Mutex::default(),
            guard: OnceLock::new(),
            denials: Denials::new(system_clock(), system_ids()),
        })
    }

    pub(super) fn is_guarded(&self) -> bool {
        self.guarded
    }

    pub(super) fn denials(&self) -> Denials {
        self.denials.clone()
    }

    pub(super) fn offer(&self, service: Local, routes: Routes) {
        let mut local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        local.push((service, routes));
    }

    pub(super) fn is_local(&self, service: Local) -> bool {
        self.routes(service).is_some()
    }

    fn routes(&self, service: Local) -> Option<Routes> {
        let local = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        let found = local.iter().find(|(offered, _)| *offered == service);
        found.map(|(_, routes)| routes.clone())
    }

    /// What a role shows to others.
    fn shown(&self, role: &'static str) -> Shown {
        let own = match role {
            WORKER => self.keys.worker.clone(),
            _ => None,
        };
        let key = own.or_else(|| self.keys.service.clone());
        Shown::Service { role, key }
    }

    pub(super) fn own(
        &self,
        effective: &Effective,
        service: Local,
        role: &'static str,
        connect: Connect,
    ) -> Result<Transport, StartError> {
        if let Some(routes) = self.routes(service) {
            return Ok(showing(transport::in_process(routes), self.shown(role)));
        }
        let way = self.connect(effective, service, connect)?;
        // A worker may be run by others than the mesh, who have been given a key.
        let key = self.api_key.clone().filter(|_| role == WORKER);
        Ok(showing(way, key.unwrap_or_else(|| self.shown(role))))
    }

    pub(super) fn callers(&self, effective: &Effective, service: Local) -> Result<Transport, StartError> {
        match self.routes(service) {
            Some(routes) => Ok(transport::in_process_behind(routes, Arc::new(self.guard(effective)?))),
            None => {
                let way = self.connect(effective, service, transport::connect_balanced)?;
                Ok(passing_on(way, self.shown("gateway")))
            }
        }
    }

    pub(super) fn replicas(&self) -> nexus_execution::Connect {
        let (client, shown) = (self.client.clone(), self.shown("execution"));
        Arc::new(move |address| {
            let way = transport::connect_one(address, &client).map_err(|error| error.to_string())?;
            Ok(showing(way, shown.clone()))
        })
    }

    fn connect(&self, effective: &Effective, service: Local, connect: Connect) -> Result<Transport, StartError> {
        let (key, address) = service.address(&effective.config);
        let connected = connect(address.unwrap_or_default(), &self.client);
        connected.map_err(|error| StartError::Config(effective.wrong(key, format!("is wrong: {error}"))))
    }

    /// Made when it is first asked for: the role access, where it is one of this process, is there by then.
    pub(super) fn guard(&self, effective: &Effective) -> Result<Guard, StartError> {
        if let Some(guard) = self.guard.get() {
            return Ok(guard.clone());
        }
        let guard = match self.guarded {
            false => Guard::open(),
            true => {
                let asks = self.is_local(Local::Access) || effective.config.access.address.is_some();
                let verify: Arc<dyn Verify> = match asks {
                    true => {
                        let way = self.own(effective, Local::Access, "door", transport::connect_balanced)?;
                        Arc::new(AccessService::new(way))
                    }
                    false => Arc::new(Nobody),
                };
                let limits = &effective.config.limits;
                let rates = Rates::new(limits.calls_per_credential, limits.calls_per_namespace);
                Guard::checked(self.keys.clone(), verify, rates, system_clock())
            }
        };
        // Where there is no log, what is refused would wait for nobody.
        let guard = match self.is_local(Local::Access) || effective.config.access.address.is_some() {
            true => guard.witnessed(Arc::new(self.denials.clone())),
            false => guard,
        };
        Ok(self.guard.get_or_init(|| guard).clone())
    }
}

/// Where no access service is named: a process whose callers are services alone, such as a worker's.
struct Nobody;

#[tonic::async_trait]
impl Verify for Nobody {
    async fn verify(&self, _credential: &str) -> Result<(Caller, Duration), VerifyError> {
        let problem = "access.address is not set at this process";
        Err(VerifyError::Unavailable(problem.to_owned()))
    }
}
