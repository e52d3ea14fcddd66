//! The service, and what its commands share.

use std::path::Path;

use nexus_api::notifications::v1::notifications_service_client::NotificationsServiceClient;
use nexus_cli_frame::{CliError, Output, Standing, Target, files};
use nexus_mesh::Transport;
use prost::Message;
use serde_json::Value;
use tonic::{Response, Status};

/// The service, and what the commands here share.
pub(super) struct Client<'a> {
    pub(super) service: NotificationsServiceClient<Transport>,
    standing: Standing,
    pub(super) output: &'a Output,
}

impl<'a> Client<'a> {
    pub(super) fn new(target: &Target, output: &'a Output) -> Result<Self, CliError> {
        Ok(Self {
            service: NotificationsServiceClient::new(target.ways()?.1),
            standing: Standing::of(target),
            output,
        })
    }

    pub(super) fn answer<T>(&self, answer: Result<Response<T>, Status>) -> Result<T, CliError> {
        answer
            .map(Response::into_inner)
            .map_err(|status| self.standing.error(status))
    }
}

/// A message from a YAML or JSON file.
pub(super) fn from_file<M: Message + Default>(path: &Path, full_name: &str) -> Result<M, CliError> {
    let source = files::read(path)?;
    let value: Value = serde_saphyr::from_str(&source.text)
        .map_err(|error| CliError::Usage(format!("{} cannot be read: {error}", path.display())))?;
    nexus_api::json::from_text(&value.to_string(), full_name).map_err(|error| {
        let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        CliError::Usage(format!("{}: {why}", path.display()))
    })
}

/// Lines of a name and a value; those without a value are left out.
pub(super) fn facts(output: &Output, facts: &[(&str, String)]) -> Result<(), CliError> {
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        output.line(&format!("{name:<14} {value}"))?;
    }
    Ok(())
}
