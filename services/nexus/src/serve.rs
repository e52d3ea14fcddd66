//! `nexus serve`: a process of the mesh, with one or several roles behind one port.
//!
//! A role is a file below: `definitions`, `execution`, `worker`. Each starts from the [`Frame`] and is held as a [`Role`].
//! The end, at SIGTERM, is in this order: readiness says NOT_SERVING; after a moment no connection is accepted any more;
//! the roles drain, workers first; the server lets the last calls finish; the roles close. A second signal ends it at once.

mod definitions;
mod dependencies;
mod execution;
mod frame;
pub(crate) mod migrate;
mod namespace;
mod patience;
mod role;
mod worker;

use std::process::ExitCode;
use std::time::Duration;

use futures::future::select_all;
use nexus_mesh::health::Readiness;
use nexus_mesh::server::{Ending, Listener, ServerError, ServerOptions};
use nexus_mesh::tls::{ServerTls, TlsError};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::service::Routes;

use crate::config::{Config, ConfigArgs, ConfigError, Effective, LogFormat, RoleName};
use crate::signals::Signals;

use frame::Frame;
use role::Role;

/// How long the last calls may take when everything has drained, and how long closing one role may.
const LAST_CALLS: Duration = Duration::from_secs(3);
const CLOSING: Duration = Duration::from_secs(10);

/// What `nexus serve` can be told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// `nexus serve` cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Logs, traces or metrics cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] nexus_telemetry::TelemetryError),
    /// The port cannot be served.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The certificates cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] TlsError),
    /// The operating system refused something.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// A role cannot be started.
    #[error("the role {role} cannot be started: {problem}")]
    Role { role: &'static str, problem: String },
    /// A role ended by itself.
    #[error("the role {role} broke: {problem}")]
    Broke { role: &'static str, problem: String },
}

/// Serves until Ctrl-C or SIGTERM.
pub(crate) async fn run(args: ServeArgs) -> ExitCode {
    match Box::pin(serve(&args)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &ServeArgs) -> Result<(), ServeError> {
    let effective = args.config.load()?;
    effective.check_roles()?;
    let config = &effective.config;
    let readiness = Readiness::default();
    let telemetry = telemetry(config, &readiness)?;
    let mut signals = Signals::listen()?;
    let served = serve_until_asked(&effective, &readiness, &mut signals).await;
    // Sending the last spans may take a moment and blocks.
    drop(tokio::task::spawn_blocking(move || telemetry.flush()).await);
    served
}

async fn serve_until_asked(
    effective: &Effective,
    readiness: &Readiness,
    signals: &mut Signals,
) -> Result<(), ServeError> {
    let config = &effective.config;
    let options = server_options(config)?;
    warn_of_strangers(config);
    // The port is taken before anything runs: a start that fails has done nothing.
    let listener = Listener::bind(config.listen).await?;
    // The page of readiness is there before the roles are.
    let process = readiness.role("process", &[]);
    let frame = Frame::new(effective, listener.address(), readiness.clone())?;
    let mut roles = tokio::select! {
        roles = start(&frame) => roles?,
        () = signals.next() => return Ok(()),
    };
    let ending = Ending::default();
    let mut routes = Routes::builder();
    roles.iter().for_each(|role| role.add_routes(&mut routes));
    let health = readiness.service(ending.serving.clone());
    let serving = ending.clone();
    let (address, advertise) = (listener.address(), frame.advertise.clone());
    let mut server = tokio::spawn(async move { listener.serve_with(&options, routes, health, serving).await });
    process.ready();
    tracing::info!(%address, advertise, roles = ?config.roles, version = env!("CARGO_PKG_VERSION"), "nexus serves");
    let broke = tokio::select! {
        () = signals.next() => None,
        ended = &mut server => Some(server_ended(ended)),
        broke = any_broke(&mut roles) => Some(broke),
    };
    if let Some(error) = &broke {
        tracing::error!(%error, "the process ends");
    } else {
        tracing::info!("the process was asked to end; a second signal ends it at once");
    }
    // Whoever asks twice means it.
    let drained = tokio::select! {
        () = drain(config, readiness, roles, &ending, server) => true,
        () = signals.next() => false,
    };
    if !drained {
        eprintln!("stopped at once; what was running goes on elsewhere");
        std::process::exit(130);
    }
    tracing::info!("the process has ended in order");
    broke.map_or(Ok(()), Err)
}

/// Starts the roles in the order in which they need each other.
async fn start(frame: &Frame) -> Result<Vec<Box<dyn Role>>, ServeError> {
    let mut wanted = frame.config().roles.clone();
    wanted.sort_unstable();
    wanted.dedup();
    let mut roles: Vec<Box<dyn Role>> = Vec::new();
    for name in wanted {
        let started = match name {
            RoleName::Definitions => definitions::start(frame).await,
            RoleName::Execution => execution::start(frame).await,
            RoleName::Worker => worker::start(frame).await,
        };
        match started {
            Ok(role) => roles.push(role),
            Err(error) => {
                close(roles).await;
                return Err(error);
            }
        }
    }
    Ok(roles)
}

async fn drain(
    config: &Config,
    readiness: &Readiness,
    mut roles: Vec<Box<dyn Role>>,
    ending: &Ending,
    server: JoinHandle<Result<(), ServerError>>,
) {
    readiness.drain();
    // A worker has no callers that would have to notice.
    if config.roles.iter().any(|role| *role != RoleName::Worker) {
        sleep(config.drain.notice.0).await;
    }
    ending.accepting.cancel();
    for role in roles.iter_mut().rev() {
        let (name, limit) = (role.name(), role.drain_limit());
        if timeout(limit, role.drain()).await.is_err() {
            tracing::warn!(role = name, ?limit, "the role did not drain in time");
        }
    }
    ending.serving.cancel();
    // Callers that keep their connection open do not keep the process alive.
    if !server.is_finished() {
        drop(timeout(LAST_CALLS, server).await);
    }
    close(roles).await;
}

async fn close(roles: Vec<Box<dyn Role>>) {
    for role in roles.into_iter().rev() {
        let name = role.name();
        if timeout(CLOSING, role.stop()).await.is_err() {
            tracing::warn!(role = name, "the role did not close in time");
        }
    }
}

async fn any_broke(roles: &mut [Box<dyn Role>]) -> ServeError {
    let broke = roles.iter_mut().map(|role| {
        Box::pin(async move {
            let problem = role.broke().await;
            (role.name(), problem)
        })
    });
    let ((role, problem), _, _) = select_all(broke).await;
    ServeError::Broke { role, problem }
}

fn server_ended(ended: Result<Result<(), ServerError>, tokio::task::JoinError>) -> ServeError {
    match ended {
        Ok(Err(error)) => error.into(),
        Ok(Ok(())) => ServeError::System(std::io::Error::other("the server ended by itself")),
        Err(error) => ServeError::System(std::io::Error::other(error)),
    }
}

fn telemetry(config: &Config, readiness: &Readiness) -> Result<nexus_telemetry::Telemetry, ServeError> {
    let readiness = readiness.clone();
    let probe: nexus_telemetry::Probe = std::sync::Arc::new(move || {
        let report = readiness.report();
        let remark = |name: &str| report.remarks.iter().find(|(role, _)| *role == name);
        let word = |name: &str, reason: &Option<String>| match (reason, remark(name)) {
            (Some(reason), _) => reason.clone(),
            (None, Some((_, remark))) => format!("ready, but {remark}"),
            (None, None) => "ready".to_owned(),
        };
        let roles = report
            .roles
            .iter()
            .map(|(name, reason)| ((*name).to_owned(), word(name, reason).into()));
        (report.ready, serde_json::Value::Object(roles.collect()))
    });
    let telemetry = nexus_telemetry::init(&nexus_telemetry::Options {
        log_filter: config.log.filter.clone(),
        log_format: match config.log.format {
            LogFormat::Auto => nexus_telemetry::LogFormat::Auto,
            LogFormat::Text => nexus_telemetry::LogFormat::Text,
            LogFormat::Json => nexus_telemetry::LogFormat::Json,
        },
        otlp_endpoint: config.otlp.endpoint.clone(),
        service_name: service_name(config),
        metrics_listen: config.metrics.listen,
        probe: Some(probe),
    })?;
    nexus_mesh::describe_metrics();
    Ok(telemetry)
}

/// `nexus-execution`, and the like: the process's name in traces.
fn service_name(config: &Config) -> String {
    match config.roles.as_slice() {
        [RoleName::Definitions] => "nexus-definitions".into(),
        [RoleName::Execution] => "nexus-execution".into(),
        [RoleName::Worker] => "nexus-worker".into(),
        _ => "nexus".into(),
    }
}

fn server_options(config: &Config) -> Result<ServerOptions, ServeError> {
    let tls = config
        .tls
        .serves()
        .then(|| ServerTls::load(&config.tls.files()))
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

/// Nobody is asked who they are, except by mutual TLS: that is said where others can reach the port.
fn warn_of_strangers(config: &Config) {
    if !config.listen.ip().is_loopback() && !config.tls.require_client_cert {
        tracing::warn!(
            listen = %config.listen,
            "whoever reaches this address may do everything: keep it on a private network, or set tls.require_client_cert"
        );
    }
}
