//! The role worker: takes tasks from the execution service and runs them.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::select_all;
use nexus_api::Namespace;
use nexus_api::worker::v1::worker_service_client::WorkerServiceClient;
use nexus_mesh::health::RoleReadiness;
use nexus_mesh::transport::in_namespace;
use nexus_service::{Background, Role};
use nexus_tasks::TaskUser;
use nexus_worker::Worker;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::frame::{Frame, host_name};
use super::{Entry, StartError};
use crate::config::{Config, RoleName};

/// Larger messages are refused; a batch of leased tasks with their inputs is the largest there is.
const MAX_MESSAGE: usize = 64 << 20;
/// What stopping tasks and telling their results may take beyond the grace.
const FAREWELL: Duration = Duration::from_secs(10);

pub(super) const ENTRY: Entry = Entry {
    name: RoleName::Worker,
    start: |frame| async move { start(frame) }.boxed_local(),
    schema: None,
};

/// A worker that runs: one for each namespace that it serves.
struct Running {
    background: Background,
    work: Vec<JoinHandle<()>>,
    limit: Duration,
}

/// Starts the worker. It is ready while it has a session in each of its namespaces.
fn start(frame: &Frame) -> Result<Box<dyn Role>, StartError> {
    nexus_worker::metrics::describe();
    let options = options(frame.config())?;
    let served = frame.served()?;
    let limit = options.drain_grace + options.tasks.kill_grace + FAREWELL;
    frame.offer_slots(options.slots);
    let background = Background::new(CancellationToken::new());
    let (mut work, mut connected) = (Vec::new(), Vec::new());
    for namespace in served {
        let worker = worker(frame, &options, namespace)?;
        connected.push(worker.connected());
        work.push(background.spawn("the worker", worker.run(background.clone())));
    }
    let tell = tell(connected, frame.readiness("worker", &[]));
    background.spawn_dropped("readiness", tell);
    Ok(Box::new(Running {
        background,
        work,
        limit,
    }))
}

/// A worker of one namespace.
fn worker(frame: &Frame, options: &nexus_worker::Options, namespace: Namespace) -> Result<Worker, StartError> {
    let client = WorkerServiceClient::new(in_namespace(frame.worker_way()?, &namespace))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    let options = nexus_worker::Options {
        namespace,
        ..options.clone()
    };
    Ok(Worker::new(options, client))
}

/// Keeps readiness what the sessions are.
async fn tell(mut connected: Vec<watch::Receiver<bool>>, readiness: RoleReadiness) {
    loop {
        // Each is looked at, or what is not would count as changed.
        let open = connected
            .iter_mut()
            .filter_map(|one| (*one.borrow_and_update()).then_some(()));
        if open.count() == connected.len() {
            readiness.ready();
        } else {
            readiness.not_ready("it has no session with the execution service");
        }
        let changed = connected.iter_mut().map(|one| Box::pin(one.changed()));
        if select_all(changed).await.0.is_err() {
            return;
        }
    }
}

#[tonic::async_trait]
impl Role for Running {
    fn name(&self) -> &'static str {
        "worker"
    }

    async fn broken(&self) -> String {
        self.background.broken().await
    }

    fn drain_limit(&self) -> Duration {
        self.limit
    }

    async fn drain(&mut self) {
        self.background.shutdown().cancel();
        // It never fails; what broke in it is told by the background.
        for work in &mut self.work {
            drop(work.await);
        }
    }

    async fn stop(self: Box<Self>) {
        self.background.shutdown().cancel();
    }
}

fn options(config: &Config) -> Result<nexus_worker::Options, StartError> {
    let set = &config.worker;
    let mut tasks = nexus_tasks::Options::new(nexus_tasks::Supervisor::this_program());
    tasks.allow_private = set.allow_private;
    tasks.python = set.python.clone();
    tasks.python_path = set.python_path.clone();
    tasks.python_memory = set.python_memory;
    tasks.bash = set.bash.clone();
    tasks.kill_grace = set.kill_grace.0;
    tasks.niceness = set.niceness;
    tasks.scratch = set.scratch.clone();
    let wrong = |problem: String| StartError::Role {
        role: "worker",
        problem,
    };
    if let Some(file) = set.secrets_file.as_ref().filter(|file| !file.is_file()) {
        let problem = format!("worker.secrets_file: there is no file {}", file.display());
        return Err(wrong(problem));
    }
    tasks.secrets = Arc::new(crate::sealed::secrets(set.secrets_file.clone()));
    if let Some(name) = &set.user {
        let user = TaskUser::find(name).and_then(|user| user.check(&tasks.supervisor).map(|()| user));
        tasks.user = Some(user.map_err(|problem| wrong(format!("worker.user: {problem}")))?);
    }
    let host = host_name().unwrap_or_else(|| "worker".to_owned());
    let name = set
        .name
        .clone()
        .unwrap_or_else(|| format!("{host}-{}", std::process::id()));
    let mut options = nexus_worker::Options::new(name, tasks);
    options.slots = set.slots.unwrap_or(options.slots);
    options.queues = set.queues.clone();
    options.labels = set.labels.clone().into_iter().collect();
    options.drain_grace = set.drain_grace.0;
    Ok(options)
}
