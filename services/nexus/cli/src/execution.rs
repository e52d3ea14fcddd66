//! One execution, as the commands that show or follow it get it.

use nexus_api::execution::v1::{Execution, GetExecutionRequest, ListTasksRequest};
use nexus_cli_frame::CliError;

use super::client::Clients;

/// Tasks and events that are asked for at a time.
pub(super) const PAGE: i32 = 1_000;

/// An execution with all of its tasks.
pub(super) async fn fetch(clients: &Clients, id: &str) -> Result<Execution, CliError> {
    let request = GetExecutionRequest {
        execution: id.to_owned(),
        ..GetExecutionRequest::default()
    };
    let found = clients
        .executions
        .clone()
        .get_execution(request)
        .await
        .map_err(|status| clients.error(status))?;
    let mut execution = found.into_inner().execution.unwrap_or_default();
    execution.tasks.clear();
    let mut page_token = String::new();
    loop {
        let request = ListTasksRequest {
            execution: id.to_owned(),
            page_size: PAGE,
            page_token,
        };
        let page = clients
            .executions
            .clone()
            .list_tasks(request)
            .await
            .map_err(|status| clients.error(status))?;
        let page = page.into_inner();
        execution.tasks.extend(page.tasks);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(execution);
        }
    }
}

/// The wait was over first.
pub(super) fn still_running(id: &str) -> CliError {
    CliError::StillRunning(format!(
        "the wait is over and the execution goes on; nexus executions watch {id}"
    ))
}
