//! The supervisor as a program of its own, for tests; the shipped binary carries it as a hidden subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    nexus_tasks::supervisor::main(std::env::args_os().skip(1))
}
