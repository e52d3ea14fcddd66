//! `nexus-witness`: a process of its own that tasks report to. Whatever it has answered is on the disk.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nexus_verify::witness::Witness;

/// Takes `begin`, `end` and `mark` lines over TCP and answers once they are on the disk
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// File that the lines are appended to
    #[arg(long)]
    file: PathBuf,
    /// Address to listen on; port 0 chooses a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let serve = || {
        let witness = Witness::open(&args.file, args.listen)?;
        println!("listening on {}", witness.address()?);
        witness.serve()
    };
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", args.file.display());
            ExitCode::FAILURE
        }
    }
}
