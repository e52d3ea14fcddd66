//! `nexus-verify`: compares the databases with the witness and the ledger. Exit code 0 when nothing was broken, 1 when
//! something was, 2 when it cannot tell.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nexus_verify::{Inputs, Source, verify};

/// Compares what NEXUS has stored with what a witness saw and what clients were answered
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Data directory of `nexus dev`; it may run meanwhile
    #[arg(long, required_unless_present = "database", conflicts_with = "database")]
    data: Option<PathBuf>,
    /// Address of a mesh's Postgres, postgres://user:password@host/database; the mesh may run meanwhile
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// What was seen of a mesh's shards in the course of time
    #[arg(long)]
    shards: Option<PathBuf>,
    /// File of nexus-witness
    #[arg(long)]
    witness: Option<PathBuf>,
    /// Ledger of the clients
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Since when nothing was asked any more, in nanoseconds since the epoch: then everything must have ended
    #[arg(long)]
    quiet_since: Option<i64>,
    /// How long before the death of its process an attempt may have begun without being stored
    #[arg(long, value_name = "MS")]
    lazy_ms: Option<i64>,
    /// The processes' clocks were set wrong on purpose, so nothing is judged by the times that they wrote
    #[arg(long)]
    wrong_clocks: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let source = match (args.database, args.data) {
        (Some(url), _) => Source::Postgres(url),
        (None, directory) => Source::Directory(directory.unwrap_or_default()),
    };
    let inputs = Inputs {
        source,
        shards: args.shards,
        witness: args.witness,
        ledger: args.ledger,
        quiet_since: args.quiet_since,
        lazy_ms: args.lazy_ms,
        wrong_clocks: args.wrong_clocks,
    };
    match verify(&inputs).await {
        Ok(findings) => {
            print!("{}", findings.report());
            println!("{}", findings.summary());
            if findings.breaches().is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
