//! How the services of `nexus dev` hang together: the only place where all of them are known.

use std::net::SocketAddr;
use std::sync::Arc;

use nexus_definitions::Definitions;
use nexus_definitions::store::sqlite::SqliteStore as DefinitionsStore;
use nexus_execution::results::MemoryResults;
use nexus_execution::store::sqlite::SqliteStore as ExecutionStore;
use nexus_execution::{Always, Dependencies, Execution, ExecutionId, Ids, Limits, Recovered, Retention};
use nexus_mesh::server::{Listener, ServerError};
use nexus_mesh::{Transport, steady_clock, system_clock, transport};
use nexus_storage::lock::DirectoryLock;
use nexus_streams::MemoryDispatch;
use nexus_worker::Worker;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tonic::service::Routes;

use super::{DevArgs, DevError, Stop};

/// Pointers that wait in memory at most; what exceeds it is offered again by the reconciler.
const DISPATCH_CAPACITY: usize = 1_000_000;

/// The running services.
pub(super) struct Mesh {
    execution: Execution,
    definitions: Definitions,
    stores: (DefinitionsStore, ExecutionStore),
    recovered: Recovered,
    address: SocketAddr,
    slots: u32,
    server: JoinHandle<Result<(), ServerError>>,
    worker: JoinHandle<()>,
    owner: JoinHandle<()>,
    /// Held until the process ends.
    _lock: DirectoryLock,
}

impl Mesh {
    /// Opens the databases, takes over what is live, and serves.
    pub(super) async fn start(args: &DevArgs, stop: &Stop) -> Result<Self, DevError> {
        let lock = DirectoryLock::take(&args.data)?;
        // The port is taken before anything runs: a start that fails has done nothing.
        let listener = Listener::bind(args.listen).await?;
        let stores = (
            DefinitionsStore::open(&args.data).await?,
            ExecutionStore::open(&args.data).await?,
        );
        let definitions = Definitions::new(Arc::new(stores.0.clone()), system_clock());
        let dependencies = Dependencies {
            store: Arc::new(stores.1.clone()),
            dispatch: Arc::new(MemoryDispatch::new(DISPATCH_CAPACITY)),
            definitions: transport::in_process(Routes::new(definitions.server())),
            clock: system_clock(),
            steady: steady_clock(),
            ids: Ids::system(),
            limits: limits(args),
            results: Arc::new(MemoryResults::default()),
            retention: args.retention.map(|keep| Retention {
                keep,
                turn: Arc::new(Always),
            }),
        };
        let (execution, recovered, owner) = Execution::start(dependencies, stop.services.clone()).await?;
        let address = listener.address();
        let mut routes = Routes::builder();
        routes
            .add_service(definitions.server())
            .add_service(execution.execution_server())
            .add_service(execution.worker_server());
        let (health_reporter, health) = tonic_health::server::health_reporter();
        health_reporter
            .set_service_status("", tonic_health::ServingStatus::Serving)
            .await;
        for service in [
            "nexus.definitions.v1.DefinitionsService",
            "nexus.execution.v1.ExecutionService",
            "nexus.worker.v1.WorkerService",
        ] {
            health_reporter
                .set_service_status(service, tonic_health::ServingStatus::Serving)
                .await;
        }
        let server = tokio::spawn(listener.serve(routes, health, stop.services.clone()));
        let options = worker_options(args)?;
        let slots = options.slots;
        let client = nexus_api::worker::v1::worker_service_client::WorkerServiceClient::new(transport::in_process(
            Routes::new(execution.worker_server()),
        ));
        let worker = tokio::spawn(Worker::new(options, client).run(stop.worker.clone()));
        Ok(Self {
            execution,
            definitions,
            stores,
            recovered,
            address,
            slots,
            server,
            worker,
            owner,
            _lock: lock,
        })
    }

    /// A way to all services for this process itself.
    pub(super) fn local_transport(&self) -> Transport {
        let mut routes = Routes::builder();
        routes
            .add_service(self.definitions.server())
            .add_service(self.execution.execution_server());
        transport::in_process(routes.routes())
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn slots(&self) -> u32 {
        self.slots
    }

    pub(super) fn recovered(&self) -> Recovered {
        self.recovered
    }

    pub(super) fn changes(&self) -> broadcast::Receiver<(ExecutionId, bool)> {
        self.execution.changes()
    }

    /// Waits for the server to end by itself, which it should not.
    pub(super) async fn server_ended(&mut self) -> Result<(), DevError> {
        match (&mut self.server).await {
            Ok(result) => Ok(result?),
            Err(error) => Err(DevError::System(std::io::Error::other(error))),
        }
    }

    pub(super) async fn worker_ended(&mut self) {
        if let Err(error) = (&mut self.worker).await {
            tracing::error!(%error, "the worker broke");
        }
    }

    /// Waits until everything is stored and closes the databases.
    pub(super) async fn close(self) {
        if let Err(error) = self.owner.await {
            tracing::error!(%error, "the owner's loop broke");
        }
        // Callers that keep their connection open do not keep the process alive.
        drop(tokio::time::timeout(std::time::Duration::from_secs(3), self.server).await);
        self.stores.0.close().await;
        self.stores.1.close().await;
    }
}

fn limits(args: &DevArgs) -> Limits {
    let usual = Limits::default();
    Limits {
        executions: args.max_live.map_or(usual.executions, |most| most as usize),
        ..usual
    }
}

fn worker_options(args: &DevArgs) -> Result<nexus_worker::Options, DevError> {
    let mut tasks = nexus_tasks::Options::new(nexus_tasks::Supervisor::this_program());
    // On a developer's machine tasks talk to services of that machine.
    tasks.allow_private = true;
    if let Some(file) = args.secrets.as_ref().filter(|file| !file.is_file()) {
        return Err(DevError::Secrets(file.clone()));
    }
    tasks.secrets = Arc::new(crate::sealed::secrets(args.secrets.clone()));
    let mut options = nexus_worker::Options::new(format!("dev-{}", std::process::id()), tasks);
    options.slots = args.slots.unwrap_or(options.slots);
    Ok(options)
}
