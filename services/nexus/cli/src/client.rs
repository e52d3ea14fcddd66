//! The clients of the services that most commands are about.

use nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_cli_frame::{CliError, Standing, Target};
use nexus_mesh::Transport;
use tonic::Status;

/// Larger answers are refused; a page of tasks with their outputs is the largest there is.
const MAX_ANSWER: usize = 64 << 20;

/// The services, behind one address or each behind its own. Every call is about the command's namespace.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) definitions: DefinitionsServiceClient<Transport>,
    pub(super) executions: ExecutionServiceClient<Transport>,
    /// The way to the scheduling service.
    pub(super) schedules: Transport,
    standing: Standing,
}

impl Clients {
    pub(super) fn new(target: &Target) -> Result<Self, CliError> {
        let (definitions, executions) = target.ways()?;
        Ok(Self {
            definitions: DefinitionsServiceClient::new(definitions).max_decoding_message_size(MAX_ANSWER),
            schedules: executions.clone(),
            executions: ExecutionServiceClient::new(executions).max_decoding_message_size(MAX_ANSWER),
            standing: Standing::of(target),
        })
    }

    /// An error of a call.
    pub(super) fn error(&self, status: Status) -> CliError {
        self.standing.error(status)
    }
}
