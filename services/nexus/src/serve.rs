//! `nexus serve`: a process of the mesh, with one or several roles behind one port ([`crate::roles`]). How it ends:
//! [`nexus_service::process`]. A second signal ends it at once.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nexus_mesh::health::Readiness;
use nexus_mesh::server::{Listener, ServerError};
use nexus_service::{Broken, Process};

use crate::config::{Config, ConfigArgs, ConfigError, Effective, RoleName};
use crate::roles::{self, Backends, Frame, StartError};
use crate::signals::Signals;
use crate::telemetry;

/// What `nexus serve` can be told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
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
    /// The operating system refused something.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// A role cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something ended by itself.
    #[error(transparent)]
    Broken(#[from] Broken),
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
    let telemetry = telemetry::start(config, &service_name(config), &readiness)?;
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
    let mut options = roles::server_options(config)?;
    warn_of_strangers(config);
    // The port is taken before anything runs: a start that fails has done nothing.
    let listener = Listener::bind(config.listen).await?;
    // The page of readiness is there before the roles are.
    let process = readiness.role("process", &[]);
    let frame = Frame::new(effective, Backends::Shared, listener.address(), readiness.clone())?;
    let roles = tokio::select! {
        roles = roles::start(&frame) => roles?,
        () = signals.next() => return Ok(()),
    };
    options.gate = Some(Arc::new(frame.guard()?));
    let (address, advertise) = (listener.address(), frame.advertise.clone());
    let mut running = Process::serve(listener, options, readiness.clone(), roles);
    process.ready();
    tracing::info!(%address, advertise, roles = ?config.roles, version = env!("CARGO_PKG_VERSION"), "nexus serves");
    let broken = tokio::select! {
        () = signals.next() => None,
        broken = running.broken() => Some(broken),
    };
    match &broken {
        Some(error) => tracing::error!(%error, "the process ends"),
        None => tracing::info!("the process was asked to end; a second signal ends it at once"),
    }
    // A worker has no callers that would have to notice.
    let has_callers = config.roles.iter().any(|role| *role != RoleName::Worker);
    let notice = if has_callers {
        config.drain.notice.0
    } else {
        Duration::ZERO
    };
    // Whoever asks twice means it.
    tokio::select! {
        () = running.end(notice) => {}
        () = signals.next() => {
            eprintln!("stopped at once; what was running goes on elsewhere");
            std::process::exit(130);
        }
    }
    tracing::info!("the process has ended in order");
    broken.map_or(Ok(()), |broken| Err(broken.into()))
}

/// Where nobody is asked who they are, except by mutual TLS, that is said if others can reach the port.
fn warn_of_strangers(config: &Config) {
    let open = !config.auth.is_required(config.listen);
    if open && !config.listen.ip().is_loopback() && !config.tls.require_client_cert {
        tracing::warn!(
            listen = %config.listen,
            "auth.mode is off: whoever reaches this address may do everything; keep it on a private network"
        );
    }
}

/// `nexus-execution`, and the like: the process's name in traces.
fn service_name(config: &Config) -> String {
    match config.roles.as_slice() {
        [RoleName::Access] => "nexus-access".into(),
        [RoleName::Definitions] => "nexus-definitions".into(),
        [RoleName::Execution] => "nexus-execution".into(),
        [RoleName::Scheduling] => "nexus-scheduling".into(),
        [RoleName::Worker] => "nexus-worker".into(),
        [RoleName::Notifications] => "nexus-notifications".into(),
        [RoleName::Gateway] => "nexus-gateway".into(),
        _ => "nexus".into(),
    }
}
