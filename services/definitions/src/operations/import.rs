//! Turns a workflow of the earlier Python system into a workflow file.

use nexus_api::definitions::v1::{ApplyWorkflowRequest, ImportWorkflowRequest, ImportWorkflowResponse};
use tonic::Status;

use super::{apply, check_size};
use crate::Context;
use crate::convert;
use crate::error::invalid_workflow;

pub(crate) async fn import(
    context: &Context,
    request: ImportWorkflowRequest,
) -> Result<ImportWorkflowResponse, Status> {
    check_size(&request.source)?;
    let imported = nexus_spec::import::import(&request.source, &request.name)
        .map_err(|diagnostic| invalid_workflow(&[diagnostic]))?;
    let report = convert::diagnostics(&imported.report);
    let mut workflow = None;
    if !request.validate_only {
        let apply = ApplyWorkflowRequest {
            source: imported.source_yaml.clone(),
            message: "imported".to_owned(),
            request_id: request.request_id,
            ..ApplyWorkflowRequest::default()
        };
        workflow = apply::apply(context, apply).await?.workflow;
    }
    Ok(ImportWorkflowResponse {
        source: imported.source_yaml,
        report,
        workflow,
    })
}
