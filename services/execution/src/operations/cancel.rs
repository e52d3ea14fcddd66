//! Cancels an execution.

use nexus_api::error::ApiError;
use nexus_api::execution::v1::{CancelExecutionRequest, CancelExecutionResponse};
use nexus_mesh::failpoint::kill_here;
use tonic::Status;

use super::{find, get, unless_stuck};
use crate::Context;
use crate::owner::OwnerError;

/// Bytes of a reason at most.
const MAX_REASON: usize = 1_024;

pub(crate) async fn cancel(
    context: &Context,
    request: CancelExecutionRequest,
) -> Result<CancelExecutionResponse, Status> {
    if request.reason.len() > MAX_REASON {
        return Err(ApiError::field("reason", format!("has more than {MAX_REASON} bytes")).into());
    }
    let id = find(context, &request.execution).await?.id;
    let cancelling = async {
        match context.owner.cancel(id, request.reason).await {
            // One that has ended already is answered as it is: cancelling is idempotent.
            Ok(()) | Err(OwnerError::NotLive(_)) => Ok(()),
            Err(error) => Err(error),
        }
    };
    unless_stuck(context, cancelling).await?;
    kill_here("execution::cancel::committed");
    let row = find(context, &request.execution).await?;
    Ok(CancelExecutionResponse {
        execution: Some(get::shown(context, &row).await?),
    })
}
