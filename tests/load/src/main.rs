//! `nexus-bench`: starts a `nexus dev`, or a mesh, for each workload, drives it over gRPC as any client would, and prints
//! one line of JSON for each. Beside every figure stands what the machine itself could do in the same minute, since wall times
//! say little without it. Nothing is asserted: the figures are for people and for comparing two builds.

mod client;
mod costs;
mod dev;
mod error;
mod limits;
mod mesh;
mod metrics;
mod options;
mod outside;
mod proc;
mod redis;
mod report;
mod ruler;
mod server;
mod stats;
mod workflows;
mod workloads;

use std::process::ExitCode;

use clap::Parser;

use options::Options;

// One thread: the cores are for what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    match workloads::run_all(&options).await {
        Ok(lines) => {
            eprint!("{}", report::table(&lines));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
