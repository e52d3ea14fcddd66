//! Reads one workflow.

use nexus_api::definitions::v1::{GetWorkflowRequest, GetWorkflowResponse};
use tonic::Status;

use super::find;
use crate::Context;
use crate::convert;

pub(crate) async fn get(context: &Context, request: GetWorkflowRequest) -> Result<GetWorkflowResponse, Status> {
    let row = find(context, &request.workflow).await?;
    Ok(GetWorkflowResponse {
        workflow: Some(convert::workflow(row)),
    })
}
