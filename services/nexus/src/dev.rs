//! `nexus dev`: the whole mesh in one process on SQLite. Services talk over in-process transports, with the same
//! contracts and layers as over the network.

mod banner;
mod folder;
mod progress;
mod wiring;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nexus_mesh::server::ServerError;
use tokio_util::sync::CancellationToken;

use crate::signals::Signals;

use wiring::Mesh;

/// What `nexus dev` can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct DevArgs {
    /// Address for gRPC, health and reflection; loopback only, port 0 chooses a free one
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
    /// File with secrets and connections, as NAME=VALUE lines; also read from NEXUS_SECRET_* and NEXUS_CONNECTION_*
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,
}

/// `nexus dev` cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Without credentials nothing but this machine may reach it.
    #[error(
        "nexus dev has no login and listens on this machine only; {0} is not a loopback address. Use 127.0.0.1 or [::1]"
    )]
    NotLoopback(SocketAddr),
    /// The data directory cannot be used.
    #[error("{}", .0.report())]
    Storage(#[from] nexus_storage::Error),
    /// The definitions cannot be opened.
    #[error("the definitions cannot be opened: {0}")]
    Definitions(#[from] nexus_definitions::store::StoreError),
    /// The executions cannot be opened.
    #[error("the executions cannot be opened: {0}")]
    Executions(#[from] nexus_execution::store::StoreError),
    /// The executions cannot be taken over.
    #[error("the executions cannot be taken over: {0}")]
    Owner(#[from] nexus_execution::OwnerError),
    /// The port cannot be served.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A call to the own services failed.
    #[error("{}", .0.message())]
    Call(#[from] tonic::Status),
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

/// Runs until Ctrl-C or SIGTERM.
pub async fn run(args: DevArgs) -> ExitCode {
    match serve(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: DevArgs) -> Result<(), DevError> {
    let begun = Instant::now();
    for address in [Some(args.listen), args.metrics].into_iter().flatten() {
        if !address.ip().is_loopback() {
            return Err(DevError::NotLoopback(address));
        }
    }
    let telemetry = nexus_telemetry::init(&nexus_telemetry::Options {
        log_filter: args.log.clone(),
        log_format: nexus_telemetry::LogFormat::Auto,
        otlp_endpoint: args.otlp.clone(),
        service_name: "nexus-dev".into(),
        metrics_listen: args.metrics,
        probe: None,
    })?;
    nexus_mesh::describe_metrics();
    nexus_execution::metrics::describe();
    nexus_worker::metrics::describe();
    let stop = Stop::default();
    let mut mesh = Mesh::start(&args, &stop).await?;
    let local = mesh.local_transport();
    // Before it says that it is ready: whoever reads that may stop it at once.
    let mut signals = Signals::listen()?;
    banner::ready(&args, mesh.address(), mesh.slots(), begun.elapsed());
    banner::recovered(mesh.recovered());
    let printing = tokio::spawn(progress::print(mesh.changes(), local.clone(), stop.services.clone()));
    let loading = tokio::spawn(folder::load_and_watch(
        args.dir.clone(),
        local.clone(),
        stop.worker.clone(),
    ));
    if !args.no_sample {
        banner::sample(local, stop.worker.clone()).await;
    }
    let broke = tokio::select! {
        () = signals.next() => None,
        result = mesh.server_ended() => Some(result),
    };
    if let Some(result) = broke {
        stop.worker.cancel();
        stop.services.cancel();
        result?;
        return Ok(());
    }
    eprintln!("\n  stopping: running tasks may finish (at most 20 s); Ctrl-C again stops at once");
    tokio::spawn(async move {
        signals.next().await;
        eprintln!("  stopped at once; what was running goes on at the next start");
        std::process::exit(130);
    });
    stop.worker.cancel();
    mesh.worker_ended().await;
    stop.services.cancel();
    mesh.close().await;
    loading.abort();
    // The printer ends with the services; it may have a last line to write.
    drop(tokio::time::timeout(Duration::from_secs(1), printing).await);
    // Sending the last spans may take a moment and blocks.
    drop(tokio::task::spawn_blocking(move || telemetry.flush()).await);
    eprintln!("  stopped");
    Ok(())
}

/// The order of stopping: first the worker, so that what it finishes is still stored, then everything else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    worker: CancellationToken,
    services: CancellationToken,
}
