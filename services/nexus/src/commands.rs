//! What can be typed: the commands that serve, and those of the client (`nexus-cli`), and where each of them goes.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use nexus_cli::{CliError, Exit, Format, Global, Output};

use crate::config::ConfigArgs;
use crate::dev::{self, DevArgs};
use crate::health::{self, HealthArgs};
use crate::migrate;
use crate::serve::{self, ServeArgs};

/// NEXUS runs workflows: graphs of tasks, carried to their end whatever dies on the way.
#[derive(Debug, Parser)]
#[command(name = "nexus", version, propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole mesh in this process, for development
    Dev(DevArgs),
    /// Run a process of the mesh, with one or several roles
    Serve(ServeArgs),
    /// Bring the database to the version that this program needs
    Migrate(ConfigArgs),
    /// Show the configuration that holds, and where each value came from
    Config(ConfigArgs),
    /// Ask a server whether it can serve; ends with 0 when it can, otherwise with 1
    Health(HealthArgs),
    #[command(flatten)]
    Client(nexus_cli::Command),
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

/// Reads what was typed. Help and the version are printed and end the program well; a mistake is printed and ends it
/// with 2.
///
/// # Errors
/// With the exit code of the process, when there is nothing to run.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        // Nobody to tell when the stream is closed.
        let _told = error.print();
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

/// Runs a command and gives the exit code of the process.
pub(crate) async fn run(mut cli: Cli) -> ExitCode {
    if let Err(error) = cli.tell_namespace() {
        eprintln!("{}", error.report());
        return error.exit().code();
    }
    let output = Output::new(cli.global.output);
    let result = match cli.command {
        Command::Dev(args) => match cli.global.namespaces() {
            Ok(namespaces) => return dev::run(args, namespaces).await,
            Err(error) => Err(error),
        },
        Command::Serve(args) => return serve::run(args).await,
        Command::Migrate(args) => migrated(&args, &output).await,
        Command::Config(args) => config(&args, &output),
        Command::Health(args) => health::run(&args, &cli.global, &output).await,
        Command::Client(command) => nexus_cli::run(command, &cli.global, &output).await,
        Command::Completion { shell } => completion(shell, &output),
        Command::Version => version(&output),
    };
    match result {
        Ok(exit) => exit.code(),
        Err(error) => {
            eprintln!("{}", error.report());
            error.exit().code()
        }
    }
}

impl Cli {
    /// Commands that read the configuration find there what the flag says.
    fn tell_namespace(&mut self) -> Result<(), CliError> {
        let config = match &mut self.command {
            Command::Serve(args) => &mut args.config,
            Command::Migrate(config) | Command::Config(config) => config,
            _ => return Ok(()),
        };
        config.namespace = self.global.namespace_flag()?;
        Ok(())
    }
}

async fn migrated(args: &ConfigArgs, output: &Output) -> Result<Exit, CliError> {
    let effective = args.load().map_err(|error| CliError::Usage(error.to_string()))?;
    let done = migrate::run(&effective).await;
    let done = done.map_err(|error| CliError::Other(error.to_string()))?;
    done.iter().try_for_each(|line| output.line(line))?;
    Ok(Exit::Ok)
}

fn config(args: &ConfigArgs, output: &Output) -> Result<Exit, CliError> {
    let effective = args.load().map_err(|error| CliError::Usage(error.to_string()))?;
    output.raw(&crate::config::toml(&effective))?;
    Ok(Exit::Ok)
}

fn completion(shell: clap_complete::Shell, output: &Output) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "nexus", &mut script);
    output.raw(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}

fn version(output: &Output) -> Result<Exit, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    let failpoints = nexus_failpoint::COMPILED_IN;
    match output.format() {
        Format::Table if failpoints => output.line(&format!("nexus {version} (with failpoints, for tests only)"))?,
        Format::Table => output.line(&format!("nexus {version}"))?,
        Format::Json | Format::Yaml => {
            output.value(&serde_json::json!({"version": version, "failpoints": failpoints}))?;
        }
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests;
