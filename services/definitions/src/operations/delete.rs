//! Deletes a workflow.

use nexus_api::definitions::v1::{DeleteWorkflowRequest, DeleteWorkflowResponse};
use tonic::Status;

use super::find;
use crate::Context;
use crate::convert;
use crate::error::{etag_mismatch, storage};

pub(crate) async fn delete(
    context: &Context,
    request: DeleteWorkflowRequest,
) -> Result<DeleteWorkflowResponse, Status> {
    find(context, &request.workflow).await?;
    let version = if request.etag.is_empty() {
        None
    } else {
        Some(convert::version(&request.etag).ok_or_else(|| etag_mismatch(&request.workflow))?)
    };
    let at = (context.clock)();
    if context
        .telling("workflow", &request.workflow, "")
        .delete(&context.namespace, &request.workflow, version, at)
        .await
        .map_err(storage)?
    {
        Ok(DeleteWorkflowResponse {})
    } else {
        Err(etag_mismatch(&request.workflow))
    }
}
