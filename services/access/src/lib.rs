//! The access service: users, roles, API keys and sessions, and whose a credential is.
//!
//! Invariants:
//! - No secret is kept, only what a secret can be compared with; none is in a log, an error or `Debug`.
//! - Nobody gives more than they have, and a key is never worth more than its user at the moment of its use.
//! - There is an administrator from the first one on.
//! - What a credential is worth is decided anew each time that somebody asks; whoever goes by an answer for longer than it
//!   says does so without this service.

mod audit;
mod caller;
mod convert;
mod enter;
mod error;
mod identify;
mod metrics;
pub mod oidc;
mod operations;
pub mod passwords;
mod rules;
mod service;
mod sweep;
mod uses;

use std::sync::Arc;
use std::time::Duration;

use nexus_api::access::v1::access_service_server::AccessServiceServer;
use nexus_api::access::v1::authentication_service_server::AuthenticationServiceServer;
use nexus_api::access::v1::calls_service_server::CallsServiceServer;
use nexus_api::audit::v1::audit_service_server::AuditServiceServer;
use nexus_audit::{Origin, Recorder};
use nexus_mesh::Clock;
use nexus_service::Background;
use tokio::task::JoinHandle;

pub use metrics::describe as describe_metrics;
use nexus_access_store::{lockout, powers, roles};
pub use nexus_access_store::{store, tokens};
use oidc::Provider;
use oidc::settings::Settings;
use passwords::Passwords;
use store::{Store, StoreError};
use tokens::{Digest, NoRandomness, Random, Secret};
use uses::Uses;

/// The gRPC services of this one.
pub const SERVICES: &[&str] = &[
    "nexus.access.v1.AccessService",
    "nexus.access.v1.AuthenticationService",
    "nexus.access.v1.CallsService",
    "nexus.audit.v1.AuditService",
];

/// What the token of the first administrator begins with.
const CLAIM: &str = "nxc_";

/// What every operation works with.
#[derive(Clone)]
pub(crate) struct Context {
    store: Arc<dyn Store>,
    clock: Clock,
    random: Random,
    passwords: Passwords,
    session_lifetime: Duration,
    provider: Option<Arc<Provider>>,
    uses: Uses,
    recorder: Recorder,
    /// Where the call comes from that it works for.
    origin: Origin,
}

/// What the service works with beside its store.
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// What secrets are made of.
    pub random: Random,
    /// How passwords are hashed.
    pub passwords: Passwords,
    /// How long a session lasts.
    pub session_lifetime: Duration,
    /// The OpenID provider, where there is one.
    pub provider: Option<Settings>,
    /// What entries of the audit log are made with.
    pub recorder: Recorder,
    /// How long entries of the audit log are kept; for ever when not said.
    pub audit_retention: Option<Duration>,
}

/// The first administrator cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are no random numbers.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

/// The service.
#[derive(Clone)]
pub struct Access {
    context: Context,
    audit_retention: Option<Duration>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access")
    }
}

impl Access {
    /// The service over a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, parts: Parts) -> Self {
        Self {
            context: Context {
                store,
                provider: (parts.provider).map(|settings| Arc::new(Provider::new(settings, Arc::clone(&parts.clock)))),
                clock: parts.clock,
                random: parts.random,
                passwords: parts.passwords,
                session_lifetime: parts.session_lifetime,
                uses: Uses::default(),
                recorder: parts.recorder,
                origin: Origin::none(),
            },
            audit_retention: parts.audit_retention,
        }
    }

    /// Users, roles, keys and sessions.
    #[must_use]
    pub fn access(&self) -> AccessServiceServer<service::Service> {
        AccessServiceServer::new(service::Service(self.context.clone()))
    }

    /// Whose a credential is, and logging in.
    #[must_use]
    pub fn authentication(&self) -> AuthenticationServiceServer<service::Service> {
        AuthenticationServiceServer::new(service::Service(self.context.clone()))
    }

    /// Calls that their callers gave a name.
    #[must_use]
    pub fn calls(&self) -> CallsServiceServer<service::Service> {
        CallsServiceServer::new(service::Service(self.context.clone()))
    }

    /// The audit log.
    #[must_use]
    pub fn audit(&self) -> AuditServiceServer<audit::Service> {
        AuditServiceServer::new(audit::Service(self.context.clone()))
    }

    /// Takes what its own changes tell of to the audit log, until the shutdown.
    pub fn ship(&self, background: &Background, log: nexus_audit::ship::Log) -> JoinHandle<()> {
        let Context {
            store, recorder, clock, ..
        } = self.context.clone();
        let shutdown = background.shutdown().clone();
        let shipping = nexus_audit::ship::outbox("access", store.outbox(), recorder, log, clock, shutdown);
        background.spawn("shipping to the audit log", shipping)
    }

    /// Makes the token by which somebody becomes the first administrator, while there is none; one that was made before is
    /// void then. It is said here and nowhere else: whoever starts the service shows it to whoever started them.
    ///
    /// # Errors
    /// When the store fails, or there are no random numbers.
    pub async fn claim(&self) -> Result<Option<Secret>, ClaimError> {
        let token = Secret::new(format!("{CLAIM}{}", tokens::secret(&self.context.random)?));
        let offered = self.context.store.offer_claim(&Digest::of(token.expose())).await?;
        Ok(offered.then_some(token))
    }

    /// Starts what is done in the background. The handles end after the shutdown, when what was to be written is written.
    pub fn start(&self, background: &Background) -> Vec<JoinHandle<()>> {
        let (store, shutdown) = (&self.context.store, background.shutdown());
        let uses = uses::run(self.context.uses.clone(), Arc::clone(store), shutdown.clone());
        let sweep = sweep::run(Arc::clone(store), self.context.clock.clone(), shutdown.clone());
        let clock = self.context.clock.clone();
        let forgetting = sweep::forget_audit(Arc::clone(store), self.audit_retention, clock, shutdown.clone());
        vec![
            background.spawn("removal of old audit entries", forgetting),
            background.spawn("last uses of credentials", uses),
            background.spawn("removal of ended credentials", sweep),
        ]
    }
}

impl Context {
    /// The same for a call.
    fn called<T>(&self, request: &tonic::Request<T>) -> Self {
        Self {
            origin: self.recorder.origin(request),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests;
