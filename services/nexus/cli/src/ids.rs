//! Ids as people type them: whole, by their beginning, or `@last`.

use nexus_api::execution::v1::{GetExecutionRequest, ListExecutionsRequest};
use nexus_cli_frame::CliError;

use super::client::Clients;

/// Length of an id in full.
const FULL: usize = 36;

/// The id that is meant.
pub(super) async fn resolve(clients: &Clients, typed: &str) -> Result<String, CliError> {
    if typed == "@last" {
        let request = ListExecutionsRequest {
            page_size: 1,
            ..ListExecutionsRequest::default()
        };
        let list = clients
            .executions
            .clone()
            .list_executions(request)
            .await
            .map_err(|status| clients.error(status))?;
        let newest = list.into_inner().executions.into_iter().next();
        return newest
            .map(|execution| execution.id)
            .ok_or_else(|| CliError::Other("there is no execution yet; `nexus run` starts one".to_owned()));
    }
    if typed.len() == FULL {
        return Ok(typed.to_owned());
    }
    let request = GetExecutionRequest {
        execution: typed.to_owned(),
        ..GetExecutionRequest::default()
    };
    let found = clients
        .executions
        .clone()
        .get_execution(request)
        .await
        .map_err(|status| clients.error(status))?;
    Ok(found.into_inner().execution.unwrap_or_default().id)
}
