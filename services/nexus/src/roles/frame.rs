//! What a role is started from: the configuration, the ways to other services, and a word about readiness.

mod ways;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use nexus_api::Namespace;
use nexus_audit::Recorder;
use nexus_audit::denials::Denials;
use nexus_audit::origin::system_ids;
use nexus_audit::ship::Log;
use nexus_auth::Guard;
use nexus_execution::{Connect, Execution, Recovered};
use nexus_mesh::health::{Readiness, RoleReadiness};
use nexus_mesh::server::ServerOptions;
use nexus_mesh::tls::{ClientTls, ServerTls};
use nexus_mesh::transport::{self, ClientOptions};
use nexus_mesh::{Transport, system_clock};
use nexus_storage::postgres::Options;
use tonic::service::Routes;

use crate::config::{Config, Effective, RoleName, missing};

use super::StartError;
use ways::Ways;

pub(crate) use ways::Local;

/// Where state is kept and tasks are offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backends {
    /// Postgres and Redis, with other replicas.
    Shared,
    /// SQLite files in a folder and queues in memory, in this process alone.
    Embedded(PathBuf),
}

/// How what a role has opened is closed.
pub(super) type Close = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send + Sync>;

/// What embedded roles tell of themselves, for the terminal of `nexus dev`.
#[derive(Default)]
pub(crate) struct Offered {
    /// The executions, and what was found live.
    pub(crate) executions: Option<(Execution, Recovered)>,
    /// How many tasks the worker runs at a time.
    pub(crate) slots: u32,
    /// By which somebody becomes the first administrator, while there is none.
    pub(crate) claim: Option<String>,
}

/// What roles are started from.
pub(crate) struct Frame {
    effective: Effective,
    backends: Backends,
    /// The address at which other replicas reach this one.
    pub(crate) advertise: String,
    readiness: Readiness,
    ways: Ways,
    offered: Mutex<Offered>,
    /// Namespaces that the worker serves beside that of its configuration.
    also_served: Vec<Namespace>,
}

impl Frame {
    pub(crate) fn new(
        effective: &Effective,
        backends: Backends,
        listen: SocketAddr,
        readiness: Readiness,
    ) -> Result<Self, StartError> {
        let config = &effective.config;
        let files = config.tls.files();
        let tls = match (&files.ca, &files.cert) {
            (None, None) => None,
            _ => Some(ClientTls::load(&files)?),
        };
        let client = ClientOptions {
            tls,
            ..ClientOptions::default()
        };
        let ways = Ways::new(effective, listen, client)?;
        Ok(Self {
            advertise: config.advertise.clone().unwrap_or_else(|| advertised(config, listen)),
            effective: effective.clone(),
            backends,
            readiness,
            ways,
            offered: Mutex::default(),
            also_served: Vec::new(),
        })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.effective.config
    }

    pub(crate) fn backends(&self) -> &Backends {
        &self.backends
    }

    /// Gives the executions to whoever shows them.
    pub(super) fn offer_executions(&self, service: Execution, recovered: Recovered) {
        let mut offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        offered.executions = Some((service, recovered));
    }

    /// Says how many tasks run at a time.
    pub(super) fn offer_slots(&self, slots: u32) {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner).slots = slots;
    }

    /// Says how somebody becomes the first administrator.
    pub(super) fn offer_claim(&self, token: &str) {
        let mut offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        offered.claim = Some(token.to_owned());
    }

    /// Whether callers are asked for credentials.
    pub(crate) fn is_guarded(&self) -> bool {
        self.ways.is_guarded()
    }

    /// What entries of the audit log are made with; none are where no access service is, since nobody would take them.
    pub(crate) fn recorder(&self) -> Recorder {
        match self.is_audited() {
            true => Recorder::new(system_clock(), system_ids()),
            false => Recorder::off(),
        }
    }

    fn is_audited(&self) -> bool {
        self.config().roles.contains(&RoleName::Access) || self.config().access.address.is_some()
    }

    /// The way of a role to the audit log, where there is one.
    pub(crate) fn audit_log(&self, role: &'static str) -> Result<Option<Log>, StartError> {
        match self.is_audited() {
            true => Ok(Some(Log::new(self.own_way(Local::Access, role)?))),
            false => Ok(None),
        }
    }

    /// Calls that this process's doors refuse.
    pub(crate) fn denials(&self) -> Denials {
        self.ways.denials()
    }

    /// What roles have told of themselves.
    pub(crate) fn offered(&self) -> Offered {
        std::mem::take(&mut *self.offered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The database's address, and how a role uses it.
    pub(crate) fn database(&self, role: &'static str) -> Result<(String, Options), StartError> {
        let url = &self.config().database.url;
        let url = url.as_ref().ok_or_else(|| {
            missing(
                "database.url",
                "the roles access, definitions, execution and notifications need it",
            )
        })?;
        let options = Options {
            // Whoever starts goes on trying by itself, and says soon what is in the way.
            reach_timeout: Duration::from_secs(2),
            ..database_options(self.config(), role)
        };
        Ok((url.expose().to_owned(), options))
    }

    /// The address of Redis.
    pub(crate) fn redis(&self) -> Result<String, StartError> {
        let url = &self.config().redis.url;
        let url = url
            .as_ref()
            .ok_or_else(|| missing("redis.url", "the role execution needs it"))?;
        Ok(url.expose().to_owned())
    }

    /// The role's word about its readiness; not ready at first.
    pub(crate) fn readiness(&self, role: &'static str, services: &'static [&'static str]) -> RoleReadiness {
        self.readiness.role(role, services)
    }

    /// What all roles of the process say.
    pub(crate) fn all_readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Offers a service of this process to the roles that start after it.
    pub(crate) fn offer(&self, service: Local, routes: Routes) {
        self.ways.offer(service, routes);
    }

    /// Whether a role of this process offers a service.
    pub(crate) fn is_local(&self, service: Local) -> bool {
        self.ways.is_local(service)
    }

    /// Lets the worker serve more namespaces than that of its configuration, each with as many slots.
    pub(crate) fn also_serving(self, namespaces: &[Namespace]) -> Self {
        let also_served = namespaces.to_vec();
        Self { also_served, ..self }
    }

    /// The namespaces that the worker serves.
    pub(crate) fn served(&self) -> Result<Vec<Namespace>, StartError> {
        let wrong = |error| self.effective.wrong("worker.namespace", format!("is wrong: {error}"));
        let first: Namespace = self.config().worker.namespace.parse().map_err(wrong)?;
        let mut served = vec![first];
        for namespace in &self.also_served {
            if !served.contains(namespace) {
                served.push(namespace.clone());
            }
        }
        Ok(served)
    }

    /// The way to a service on which a role calls for itself: in this process, or over all replicas.
    pub(crate) fn own_way(&self, service: Local, role: &'static str) -> Result<Transport, StartError> {
        self.ways
            .own(&self.effective, service, role, transport::connect_balanced)
    }

    /// The same to one replica of the execution service, which is kept: for workers.
    pub(crate) fn worker_way(&self) -> Result<Transport, StartError> {
        self.ways
            .own(&self.effective, Local::Execution, "worker", transport::connect_one)
    }

    /// The way to a service on which calls of others are passed on, with the credentials that they show.
    pub(crate) fn callers_way(&self, service: Local) -> Result<Transport, StartError> {
        self.ways.callers(&self.effective, service)
    }

    /// How other replicas are reached, each by the address that it advertises.
    pub(crate) fn replica_ways(&self) -> Connect {
        self.ways.replicas()
    }

    /// Who asks at this process's doors whose a credential is.
    pub(crate) fn guard(&self) -> Result<Guard, StartError> {
        self.ways.guard(&self.effective)
    }
}

/// How the port is served.
pub(crate) fn server_options(config: &Config) -> Result<ServerOptions, StartError> {
    let tls = config
        .tls
        .serves()
        .then(|| match config.roles.contains(&RoleName::Gateway) {
            true => ServerTls::load_with_http1(&config.tls.files()),
            false => ServerTls::load(&config.tls.files()),
        })
        .transpose()?;
    Ok(ServerOptions {
        tls,
        max_concurrent_streams: config.limits.max_concurrent_streams,
        max_connections: config.limits.max_connections,
        max_connections_per_peer: config.limits.max_connections_per_peer,
        max_in_flight: config.limits.max_in_flight,
        ..ServerOptions::default()
    })
}

/// How a role uses the database: a quarter of the connections write statements, another one transactions.
pub(crate) fn database_options(config: &Config, role: &str) -> Options {
    let writers = (config.database.max_connections / 4).max(2);
    Options {
        writers,
        readers: config.database.max_connections.saturating_sub(2 * writers).max(2),
        statement_timeout: config.database.statement_timeout.0,
        application_name: format!("nexus-{role}"),
        ..Options::default()
    }
}

/// The address of this machine: what is listened on, or the host's name when that is everything.
fn advertised(config: &Config, listen: SocketAddr) -> String {
    let scheme = if config.tls.serves() { "https" } else { "http" };
    if !listen.ip().is_unspecified() {
        return format!("{scheme}://{listen}");
    }
    let host = host_name().unwrap_or_else(|| "localhost".to_owned());
    format!("{scheme}://{host}:{}", listen.port())
}

/// The name of this machine.
pub(super) fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
