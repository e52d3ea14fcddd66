//! The command line: what can be typed ([`args`]), one module for each group of commands, and how they end ([`exit`]).
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
mod health;
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

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

pub(crate) use args::Cli;
use args::{Command, Format};
use error::CliError;
use exit::Exit;
use output::Output;

use crate::config::ConfigArgs;

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
            Ok(namespaces) => return crate::dev::run(args, namespaces).await,
            Err(error) => Err(error),
        },
        Command::Serve(args) => return crate::serve::run(args).await,
        Command::Migrate(args) => migrate(&args, &output).await,
        Command::Config(args) => config(&args, &output),
        Command::Health(args) => health::run(&args, &cli.global, &output).await,
        Command::Validate(args) => validate::run(&args, &output),
        Command::Apply(args) => apply::run(&args, &cli.global, &output).await,
        Command::Run(args) => run::run(&args, &cli.global, &output).await,
        Command::Workflows(command) => workflows::run(command, &cli.global, &output).await,
        Command::Executions(command) => executions::run(command, &cli.global, &output).await,
        Command::Logs(args) => logs::run(&args, &cli.global, &output).await,
        Command::Api(args) => api::run(&args, &cli.global, &output).await,
        Command::Events(args) => events::run(&args, &cli.global, &output).await,
        Command::Readers(command) => events::readers(command, &cli.global, &output).await,
        Command::Import(args) => import::run(&args, &cli.global, &output).await,
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

async fn migrate(args: &ConfigArgs, output: &Output) -> Result<Exit, CliError> {
    let effective = args.load().map_err(|error| CliError::Usage(error.to_string()))?;
    let done = crate::migrate::run(&effective).await;
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
