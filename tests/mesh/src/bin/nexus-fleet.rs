//! `make mesh`: a whole mesh on this machine until Ctrl-C.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nexus_fleet::{Error, Mesh, Role, Shape};
use tokio::signal::unix::{SignalKind, signal};

/// Starts a mesh of plain processes with a Postgres and a Redis of its own; Ctrl-C ends everything
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Replicas of the definitions service
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=16))]
    definitions: u16,
    /// Replicas of the execution service
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=16))]
    execution: u16,
    /// Workers
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(0..=64))]
    workers: u16,
    /// Tasks that each worker runs at a time
    #[arg(long, default_value_t = 4)]
    slots: u32,
    /// Let commits not wait for the disk
    #[arg(long)]
    no_fsync: bool,
    /// The program; the `nexus` beside this one when not given
    #[arg(long)]
    program: Option<PathBuf>,
    /// What the processes log, as RUST_LOG writes it
    #[arg(long, default_value = "info")]
    log: String,
    /// A variable of the environment of every process, such as NEXUS_DRAIN__NOTICE=1s
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = pair)]
    environment: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it like NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Error> {
    let asked = |source| Error::System {
        what: "listening to signals".into(),
        source,
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(asked)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(asked)?;
    let shape = Shape {
        definitions: args.definitions.into(),
        execution: args.execution.into(),
        workers: args.workers.into(),
        slots: args.slots,
        fsync: !args.no_fsync,
        program: args.program,
        log: args.log,
        environment: args.environment,
        ..Shape::default()
    };
    println!(
        "==> starting Postgres, Redis and {} processes",
        shape.definitions + shape.execution + shape.workers
    );
    let mut mesh = tokio::select! {
        mesh = Mesh::start(shape) => mesh?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    tell(&mut mesh);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    println!("\n==> ending in order; Ctrl-C again ends at once");
    tokio::select! {
        ended = mesh.stop() => ended,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// What there is, and what can be done with it.
fn tell(mesh: &mut Mesh) {
    let (executions, definitions) = (mesh.execution(), mesh.definitions());
    let (database, redis) = (mesh.database().to_owned(), mesh.redis().url());
    let folder = mesh.folder().display().to_string();
    println!();
    for node in mesh.nodes() {
        let pid = node.pid().unwrap_or_default();
        let serves = if node.role() == Role::Worker {
            "-".to_owned()
        } else {
            node.address()
        };
        println!("  {:<14} pid {pid:<8} {serves:<24} {}", node.name(), node.metrics());
    }
    println!("  postgres       {database}");
    println!("  redis          {redis}");
    println!("  logs           {folder}/*.log");
    println!();
    println!("  In another shell:");
    println!("    export NEXUS_ADDRESS={executions}");
    println!("    export NEXUS_DEFINITIONS_ADDRESS={definitions}");
    println!("    nexus run -f examples/hello.yaml --wait");
    println!("    kill -9 PID    # what runs goes on elsewhere");
    println!();
    println!("  Ctrl-C ends everything.");
}
