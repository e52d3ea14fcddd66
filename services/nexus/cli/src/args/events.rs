//! What `nexus events` and `nexus readers` can be told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use nexus_api::execution::v1::event::Type;
use nexus_cli_frame::Page;
use nexus_cli_frame::time::{Since, parse_span};

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on with what comes, until Ctrl-C; so it does anyway without --since and --resume-file
    #[arg(short, long)]
    pub follow: bool,
    /// Begin with what happened in this span (10m) or after this time (2026-01-31T06:00:00Z)
    #[arg(long, value_parser = Since::parse, value_name = "SPAN|TIME")]
    pub since: Option<Since>,
    /// Only events of this type, such as TASK_FINISHED; may be repeated
    #[arg(long = "type", value_parser = event_type, value_name = "TYPE")]
    pub types: Vec<Type>,
    /// Only of this workflow; may be repeated
    #[arg(long = "workflow", value_name = "NAME")]
    pub workflows: Vec<String>,
    /// Keep in this file how far it was read, and begin there; the server keeps what comes in between, for some days
    #[arg(long, value_name = "FILE", conflicts_with = "since")]
    pub resume_file: Option<PathBuf>,
    /// Stop after this time, such as 90s or 10m
    #[arg(long, value_parser = parse_span, value_name = "SPAN")]
    pub timeout: Option<Duration>,
}

/// The types that there are.
const TYPES: [Type; 9] = [
    Type::ExecutionCreated,
    Type::ExecutionStarted,
    Type::ExecutionCancelling,
    Type::ExecutionFinished,
    Type::TaskScheduled,
    Type::TaskStarted,
    Type::TaskRetrying,
    Type::TaskLost,
    Type::TaskFinished,
];

fn event_type(text: &str) -> Result<Type, String> {
    let name = text.to_ascii_uppercase().replace('-', "_");
    match TYPES.into_iter().find(|known| known.as_str_name() == name) {
        Some(known) => Ok(known),
        None => {
            let known: Vec<&str> = TYPES.iter().map(Type::as_str_name).collect();
            Err(format!("there is no such type; there are {}", known.join(" ")))
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Readers {
    /// List readers and how far they are behind
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Forget a reader; nothing is kept for it any more
    Delete {
        /// Its name
        reader: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_the_contract() {
        assert_eq!(event_type("task-finished"), Ok(Type::TaskFinished));
        assert_eq!(event_type("EXECUTION_CREATED"), Ok(Type::ExecutionCreated));
        for other in ["", "FINISHED", "TYPE_UNSPECIFIED"] {
            assert!(event_type(other).expect_err(other).contains("TASK_LOST"));
        }
        let next = i32::from(TYPES[TYPES.len() - 1] as u8) + 1;
        assert!(Type::try_from(next).is_err(), "the list has all");
    }
}
