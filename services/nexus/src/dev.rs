//! `nexus dev`: the whole mesh in one process on SQLite: all roles of [`crate::roles`] over embedded databases. They talk
//! over in-process transports, with the same contracts and layers as over the network.

mod banner;
mod folder;
mod progress;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nexus_api::Namespace;
use nexus_mesh::Transport;
use nexus_mesh::health::Readiness;
use nexus_mesh::server::{Listener, ServerError};
use nexus_mesh::transport::in_namespace;
use nexus_service::{Broken, Process};
use nexus_storage::lock::DirectoryLock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{AuthMode, Config, Effective, RoleName};
use crate::roles::{self, Backends, Frame, Local, Offered, StartError};
use crate::signals::Signals;
use crate::telemetry;

/// What `nexus dev` can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct DevArgs {
    /// Address for REST, gRPC, health and reflection; loopback only without --credentials, port 0 chooses a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070")]
    pub listen: SocketAddr,
    /// Directory of the databases; created when it is not there
    #[arg(long, value_name = "DIR", default_value = ".nexus")]
    pub data: PathBuf,
    /// Directory whose workflow files are loaded, and loaded again when they are saved
    #[arg(long, value_name = "WORKFLOWS", default_value = "workflows")]
    pub dir: PathBuf,
    /// Do not run the sample
    #[arg(long)]
    pub no_sample: bool,
    /// Tasks that run at a time; eight for each core, and at least 16, when not said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub slots: Option<u32>,
    /// Executions that are live at a time; a start beyond that is refused with RESOURCE_EXHAUSTED and a delay
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_live: Option<u32>,
    /// How long executions are kept after their end, such as `30d`; for ever when not said
    #[arg(long, value_name = "TIME", value_parser = crate::config::bounded_span)]
    pub retention: Option<Duration>,
    /// Which log lines are written, such as `info` or `nexus_execution=debug`
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "warn")]
    pub log: String,
    /// Address of an OpenTelemetry collector (gRPC) that traces are sent to
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp: Option<String>,
    /// Address of the page /metrics for Prometheus; loopback only, none when not said
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
    /// Ask callers for a credential: users, roles and API keys hold, and other addresses than loopback may be listened on
    #[arg(long)]
    pub credentials: bool,
    /// File with secrets and connections, as NAME=VALUE lines; also read from NEXUS_SECRET_* and NEXUS_CONNECTION_*
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,
}

/// `nexus dev` cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Without credentials nothing but this machine may reach it.
    #[error(
        "nexus dev asks nobody for a credential and listens on this machine only; {0} is not a loopback address. Use 127.0.0.1 or [::1], or --credentials"
    )]
    NotLoopback(SocketAddr),
    /// The data directory cannot be used.
    #[error("{}", .0.report())]
    Storage(#[from] nexus_storage::Error),
    /// A service cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something ended by itself.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The port cannot be served.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The operating system refused something.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// Logs and traces cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] nexus_telemetry::TelemetryError),
    /// The secrets cannot be read.
    #[error("there is no file {}; --secrets names a file of NAME=VALUE lines", .0.display())]
    Secrets(PathBuf),
}

/// Runs until Ctrl-C or SIGTERM. The first of some namespaces is that of the folder and of the sample.
pub async fn run(args: DevArgs, namespaces: Vec<Namespace>) -> ExitCode {
    match serve(args, &namespaces).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: DevArgs, namespaces: &[Namespace]) -> Result<(), DevError> {
    let begun = Instant::now();
    let open = (!args.credentials).then_some(args.listen);
    for address in [open, args.metrics].into_iter().flatten() {
        if !address.ip().is_loopback() {
            return Err(DevError::NotLoopback(address));
        }
    }
    if let Some(file) = args.secrets.as_ref().filter(|file| !file.is_file()) {
        return Err(DevError::Secrets(file.clone()));
    }
    let mut config = config(&args);
    if let Some(first) = namespaces.first() {
        config.worker.namespace = first.to_string();
    }
    let readiness = Readiness::default();
    let telemetry = telemetry::start(&config, "nexus-dev", &readiness)?;
    let served = serve_until_asked(&args, namespaces, config, readiness, begun).await;
    // Sending the last spans may take a moment and blocks.
    drop(tokio::task::spawn_blocking(move || telemetry.flush()).await);
    served
}

async fn serve_until_asked(
    args: &DevArgs,
    namespaces: &[Namespace],
    config: Config,
    readiness: Readiness,
    begun: Instant,
) -> Result<(), DevError> {
    let mut options = roles::server_options(&config)?;
    let effective = Effective::made(config).map_err(StartError::from)?;
    // Held until everything is closed.
    let _lock = DirectoryLock::take(&args.data)?;
    // The port is taken before anything runs: a start that fails has done nothing.
    let listener = Listener::bind(args.listen).await?;
    let address = listener.address();
    let frame = Frame::new(
        &effective,
        Backends::Embedded(args.data.clone()),
        address,
        readiness.clone(),
    )?
    .also_serving(namespaces);
    let roles = roles::start(&frame).await?;
    options.gate = Some(Arc::new(frame.guard()?));
    let mut running = Process::serve(listener, options, readiness.clone(), roles);
    let own = |service| frame.own_way(service, "dev");
    let (definitions, executions) = (own(Local::Definitions)?, own(Local::Execution)?);
    let schedules = own(Local::Scheduling)?;
    let ways: Vec<Ways> = frame
        .served()?
        .iter()
        .map(|namespace| Ways {
            definitions: in_namespace(definitions.clone(), namespace),
            executions: in_namespace(executions.clone(), namespace),
            schedules: in_namespace(schedules.clone(), namespace),
            namespace: namespace.clone(),
        })
        .collect();
    // Before it says that it is ready: whoever reads that may stop it at once.
    let mut signals = Signals::listen()?;
    let leaving = CancellationToken::new();
    let mut shown = None;
    let show = async {
        readiness.ready().await;
        let offered = frame.offered();
        banner::ready(args, &ways, address, offered.slots, begun.elapsed());
        if let Some(token) = &offered.claim {
            banner::claim(token, address);
        }
        shown = Some(Shown::start(args, &offered, &ways, &leaving));
        if let Some(first) = ways.first().filter(|_| !args.no_sample) {
            let claimed = offered.claim.is_some();
            let next = banner::next(&banner::called(), args, &first.namespace, address, claimed);
            banner::sample(first, &next, leaving.clone()).await;
        }
        std::future::pending::<()>().await;
    };
    let broken = tokio::select! {
        () = show => None,
        () = signals.next() => None,
        broken = running.broken() => Some(broken),
    };
    match &broken {
        None => eprintln!("\n  stopping: running tasks may finish (at most 20 s); Ctrl-C again stops at once"),
        Some(broken) => eprintln!("\n  stopping: {broken}"),
    }
    tokio::spawn(async move {
        signals.next().await;
        eprintln!("  stopped at once; what was running goes on at the next start");
        std::process::exit(130);
    });
    leaving.cancel();
    running.end(Duration::ZERO).await;
    if let Some(shown) = shown {
        shown.end().await;
    }
    eprintln!("  stopped");
    broken.map_or(Ok(()), |broken| Err(broken.into()))
}

/// What the flags mean in the configuration of the mesh: all roles, and a worker that may reach this machine.
fn config(args: &DevArgs) -> Config {
    let mut config = Config {
        roles: vec![
            RoleName::Access,
            RoleName::Definitions,
            RoleName::Execution,
            RoleName::Scheduling,
            RoleName::Worker,
            RoleName::Notifications,
            RoleName::Gateway,
        ],
        listen: args.listen,
        ..Config::default()
    };
    config.metrics.listen = args.metrics;
    config.log.filter.clone_from(&args.log);
    config.otlp.endpoint.clone_from(&args.otlp);
    if let Some(most) = args.max_live {
        config.execution.max_live = most as usize;
    }
    if let Some(keep) = args.retention {
        config.execution.retention.0 = keep;
    }
    config.worker.name = Some(format!("dev-{}", std::process::id()));
    config.worker.slots = args.slots;
    config.worker.secrets_file.clone_from(&args.secrets);
    config.secrets.key_file = Some(args.data.join("secrets.keys"));
    // Without a login nobody else may reach it, not even a web page that is read on this machine.
    if args.listen.ip().is_loopback() {
        config.gateway.allowed_hosts = roles::of_this_machine(args.listen.ip());
    }
    config.auth.mode = match args.credentials {
        true => AuthMode::Required,
        false => AuthMode::Off,
    };
    // On a developer's machine tasks talk to services of that machine.
    config.worker.allow_private = true;
    config.notifications.egress_allow = ["127.0.0.0/8", "::1", "localhost"].map(str::to_owned).to_vec();
    config
}

/// The ways to the services of this process, for calls about one namespace.
pub(crate) struct Ways {
    namespace: Namespace,
    definitions: Transport,
    executions: Transport,
    schedules: Transport,
}

/// What goes on beside the services: progress on the terminal, and the folder of workflow files.
struct Shown {
    over: CancellationToken,
    printing: Option<JoinHandle<()>>,
    loading: Option<JoinHandle<()>>,
}

impl Shown {
    fn start(args: &DevArgs, offered: &Offered, ways: &[Ways], leaving: &CancellationToken) -> Self {
        let over = CancellationToken::new();
        let printing = offered.executions.as_ref().map(|(executions, recovered)| {
            banner::recovered(*recovered);
            let print = progress::print(
                executions.changes(),
                ways.iter().map(|ways| ways.executions.clone()).collect(),
                over.clone(),
            );
            tokio::spawn(print)
        });
        let load = |ways: &Ways| {
            let (definitions, schedules) = (ways.definitions.clone(), ways.schedules.clone());
            folder::load_and_watch(args.dir.clone(), definitions, schedules, leaving.clone())
        };
        Self {
            over,
            printing,
            loading: ways.first().map(|first| tokio::spawn(load(first))),
        }
    }

    /// Everything is closed.
    async fn end(self) {
        self.over.cancel();
        if let Some(loading) = self.loading {
            loading.abort();
        }
        // The printer may have a last line to write.
        if let Some(printing) = self.printing {
            drop(tokio::time::timeout(Duration::from_secs(1), printing).await);
        }
    }
}
