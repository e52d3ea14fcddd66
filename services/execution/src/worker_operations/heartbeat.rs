//! Extends leases, and tells the worker which attempts to stop.

use nexus_api::worker::v1::{HeartbeatTasksRequest, HeartbeatTasksResponse};
use nexus_mesh::failpoint::kill_here;
use tonic::Status;

use super::session;
use crate::Context;
use crate::error::status;
use crate::sessions::directive;

pub(crate) async fn heartbeat(
    context: &Context,
    request: HeartbeatTasksRequest,
) -> Result<HeartbeatTasksResponse, Status> {
    if request.tokens.len() > 10_000 {
        let error = nexus_api::error::ApiError::field("tokens", "at most 10,000 are taken");
        return Err(error.into());
    }
    let session = session(context, &request.session)?;
    let verdicts = context
        .owner
        .heartbeat(session.session, request.tokens.clone())
        .await
        .map_err(status)?;
    kill_here("execution::heartbeat");
    let directives = request
        .tokens
        .iter()
        .zip(&verdicts)
        .map(|(token, verdict)| directive(token, verdict))
        .collect();
    Ok(HeartbeatTasksResponse {
        directives,
        drain: context.shutdown.is_cancelled(),
        leaving: request.leaving,
    })
}
