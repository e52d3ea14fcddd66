//! The one binary of NEXUS: `nexus dev`, `nexus serve` and the command line.

mod commands;
mod config;
mod dev;
mod health;
mod migrate;
mod roles;
mod sealed;
mod serve;
mod signals;
mod telemetry;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The same binary stands between the worker and its bash tasks; that role is taken before any thread exists.
    if let Some(code) = nexus_tasks::supervisor::intercept() {
        return code;
    }
    // Before clap looks at anything: what is secret leaves the environment and the arguments of a process that serves.
    if std::env::args_os().skip(1).any(|word| word == "dev" || word == "serve")
        && let Err(error) = sealed::enter()
    {
        eprintln!("error: the secrets cannot be taken out of the environment: {error}");
        return ExitCode::FAILURE;
    }
    let cli = match commands::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    nexus_failpoint::arm();
    // Refused only when a provider was chosen before, which nobody does.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(commands::run(cli));
    // Threads that are blocked, such as a read of standard input, do not hold up the end.
    runtime.shutdown_background();
    code
}
