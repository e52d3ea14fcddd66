//! The client at the command line: what can be typed ([`args`]), one module for each group of commands, and how they end
//! ([`Exit`]).
//!
//! Data goes to stdout and everything else to stderr, so that every command can stand in a pipe.

mod api;
mod apply;
mod args;
mod client;
mod context;
mod events;
mod execution;
mod executions;
mod filter;
mod ids;
mod import;
mod logs;
mod notifications;
mod params;
mod run;
mod schedules;
mod secrets;
mod validate;
mod watch;
mod workflows;

pub use args::Command;
use nexus_cli_access as access;
pub use nexus_cli_frame::settings::DEFAULT_ADDRESS;
pub use nexus_cli_frame::time::parse_span;
pub use nexus_cli_frame::{CliError, Exit, Format, Global, Output, Target};
pub use schedules::file::keep as keep_schedules;

/// Runs a command.
///
/// # Errors
/// When it cannot do what it should; the error says why, and how the process ends.
pub async fn run(command: Command, global: &Global, output: &Output) -> Result<Exit, CliError> {
    let command = match command {
        Command::Validate(args) => return validate::run(&args, output),
        Command::Context(command) => return context::run(command, global, output),
        Command::Schedules(args::Schedules::Next(args)) if args.schedule.is_none() => {
            return schedules::next::offline(&args, output);
        }
        Command::Login(args) => return access::login(&args, &Target::open(global)?, output).await,
        command => command,
    };
    let target = Target::resolve(global)?;
    match command {
        // Gone before: they need no server.
        Command::Validate(_) | Command::Context(_) | Command::Login(_) => Ok(Exit::Ok),
        Command::Apply(args) => apply::run(&args, &target, output).await,
        Command::Run(args) => run::run(&args, &target, output).await,
        Command::Workflows(command) => workflows::run(command, &target, output).await,
        Command::Executions(command) => executions::run(command, &target, output).await,
        Command::Schedules(command) => schedules::run(command, &target, output).await,
        Command::Logs(args) => logs::run(&args, &target, output).await,
        Command::Api(args) => api::run(&args, &target, output).await,
        Command::Events(args) => events::run(&args, &target, output).await,
        Command::Readers(command) => events::readers::run(command, &target, output).await,
        Command::Import(args) => import::run(&args, &target, output).await,
        Command::Secrets(command) => secrets::run(command, &target, output).await,
        Command::Channels(command) => notifications::channels(command, &target, output).await,
        Command::Rules(command) => notifications::rules(command, &target, output).await,
        Command::Deliveries(command) => notifications::deliveries(command, &target, output).await,
        Command::Logout => access::logout(&target, output).await,
        Command::Whoami => access::whoami(&target, output).await,
        Command::Keys(command) => access::keys(command, &target, output).await,
        Command::Users(command) => access::users(command, &target, output).await,
        Command::Roles(command) => access::roles(command, &target, output).await,
        Command::Sessions(command) => access::sessions(command, &target, output).await,
        Command::Audit(command) => access::audit(command, &target, output).await,
    }
}
