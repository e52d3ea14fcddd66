//! The execution service: executions, tasks, attempts, history, queues and worker leases.
//!
//! Invariants:
//! - An execution changes only in the [`owner`]'s loop, and only as `nexus-engine` decides.
//! - Nobody is told of a change before it is stored.
//! - Nothing on the way of a task reads the database: state is in memory, and one commit carries many executions.

mod convert;
mod error;
mod ids;
pub mod metrics;
mod notify;
mod operations;
pub mod owner;
mod plans;
mod service;
pub mod sessions;
pub mod store;
mod worker_operations;
mod worker_service;

use std::sync::Arc;

use nexus_api::execution::v1::execution_service_server::ExecutionServiceServer;
use nexus_api::worker::v1::worker_service_server::WorkerServiceServer;
use nexus_mesh::{Clock, Transport};
use nexus_streams::Dispatch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use ids::{ExecutionId, Ids};
pub use owner::{Limits, OwnerError, Recovered};

use notify::Notifier;
use owner::Owner;
use plans::Plans;
use sessions::Sessions;
use store::Store;

/// Largest message that is taken: a report of several outputs.
const MAX_REQUEST: usize = 16 << 20;

/// What the service stands on.
#[derive(Clone)]
pub struct Dependencies {
    /// Where state is kept.
    pub store: Arc<dyn Store>,
    /// How attempts are offered to workers.
    pub dispatch: Arc<dyn Dispatch>,
    /// The way to the definitions service.
    pub definitions: Transport,
    /// The time of day.
    pub clock: Clock,
    /// A clock that only grows; leases are judged by it.
    pub steady: Clock,
    /// Fresh ids.
    pub ids: Ids,
    /// How much may be in memory at a time.
    pub limits: Limits,
}

/// What every operation works with.
#[derive(Clone)]
pub(crate) struct Context {
    store: Arc<dyn Store>,
    dispatch: Arc<dyn Dispatch>,
    owner: Owner,
    plans: Plans,
    sessions: Sessions,
    events: Notifier,
    logs: Notifier,
    ids: Ids,
    shutdown: CancellationToken,
}

/// The running service.
#[derive(Clone)]
pub struct Execution {
    context: Context,
}

impl std::fmt::Debug for Execution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Execution")
    }
}

impl Execution {
    /// Takes the shards over, loads what is live and begins to work, until `shutdown`. Also tells what was found live,
    /// and gives the task that ends once everything is stored after the shutdown.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub async fn start(
        dependencies: Dependencies,
        shutdown: CancellationToken,
    ) -> Result<(Self, Recovered, JoinHandle<()>), OwnerError> {
        let plans = Plans::new(dependencies.definitions);
        let sessions = Sessions::new(Clock::clone(&dependencies.steady));
        let events = Notifier::default();
        let owner_dependencies = owner::Dependencies {
            store: Arc::clone(&dependencies.store),
            dispatch: Arc::clone(&dependencies.dispatch),
            plans: plans.clone(),
            sessions: sessions.clone(),
            events: events.clone(),
            clock: dependencies.clock,
            steady: dependencies.steady,
            limits: dependencies.limits,
            ids: dependencies.ids.clone(),
        };
        let (owner, recovered, finished) = Owner::start(owner_dependencies, shutdown.clone()).await?;
        tokio::spawn(sessions::sweep(sessions.clone(), owner.clone(), shutdown.clone()));
        let context = Context {
            store: dependencies.store,
            dispatch: dependencies.dispatch,
            owner,
            plans,
            sessions,
            events,
            logs: Notifier::default(),
            ids: dependencies.ids,
            shutdown,
        };
        Ok((Self { context }, recovered, finished))
    }

    /// Ids of executions that were stored anew, as they are stored. A listener that is too slow misses some.
    #[must_use]
    pub fn changes(&self) -> tokio::sync::broadcast::Receiver<ExecutionId> {
        self.context.events.feed()
    }

    /// The service for callers.
    #[must_use]
    pub fn execution_server(&self) -> ExecutionServiceServer<service::Service> {
        ExecutionServiceServer::new(service::Service(self.context.clone()))
            .max_decoding_message_size(MAX_REQUEST)
            .max_encoding_message_size(MAX_REQUEST)
    }

    /// The service for workers.
    #[must_use]
    pub fn worker_server(&self) -> WorkerServiceServer<worker_service::Service> {
        WorkerServiceServer::new(worker_service::Service(self.context.clone()))
            .max_decoding_message_size(MAX_REQUEST)
            .max_encoding_message_size(MAX_REQUEST)
    }
}
