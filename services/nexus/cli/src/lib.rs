//! The client at the command line: what can be typed ([`args`]), one module for each group of commands, and how they end
//! ([`Exit`]).
//!
//! Data goes to stdout and everything else to stderr, so that every command can stand in a pipe.

mod api;
mod apply;
mod args;
mod client;
mod error;
mod events;
mod execution;
mod executions;
mod exit;
mod files;
mod filter;
mod ids;
mod import;
mod logs;
mod namespace;
mod output;
mod params;
mod run;
mod table;
mod time;
mod validate;
mod watch;
mod workflows;

pub use args::{Command, Format, Global};
pub use client::transport;
pub use error::CliError;
pub use exit::Exit;
pub use output::Output;
pub use time::parse_span;

/// Runs a command.
///
/// # Errors
/// When it cannot do what it should; the error says why, and how the process ends.
pub async fn run(command: Command, global: &Global, output: &Output) -> Result<Exit, CliError> {
    match command {
        Command::Validate(args) => validate::run(&args, output),
        Command::Apply(args) => apply::run(&args, global, output).await,
        Command::Run(args) => run::run(&args, global, output).await,
        Command::Workflows(command) => workflows::run(command, global, output).await,
        Command::Executions(command) => executions::run(command, global, output).await,
        Command::Logs(args) => logs::run(&args, global, output).await,
        Command::Api(args) => api::run(&args, global, output).await,
        Command::Events(args) => events::run(&args, global, output).await,
        Command::Readers(command) => events::readers(command, global, output).await,
        Command::Import(args) => import::run(&args, global, output).await,
    }
}
