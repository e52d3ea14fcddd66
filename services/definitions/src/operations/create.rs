//! Creates a workflow and its revision 1.

use nexus_api::ErrorReason;
use nexus_api::definitions::v1::{CreateWorkflowRequest, CreateWorkflowResponse};
use nexus_api::error::ApiError;
use nexus_service::idempotency::{self, RequestKey};
use tonic::Status;

use super::{check, check_message, find, new_revision, write_of};
use crate::Context;
use crate::convert;
use crate::error::storage;
use crate::store::{Expected, WorkflowRow, Write, Written};

pub(crate) async fn create(
    context: &Context,
    request: CreateWorkflowRequest,
) -> Result<CreateWorkflowResponse, Status> {
    check_message(&request.message)?;
    idempotency::check(&request.request_id)?;
    let checked = check(&request.source, "").await?;
    let revision = new_revision(&checked.workflow, &request.source, &request.message);
    let diagnostics = convert::diagnostics(&checked.warnings);
    // The text is what the call is about: the same id with another text is a mistake of the caller.
    let fingerprint = nexus_spec::document::digest(&request.source);
    if let Some(row) = former(context, &request.request_id, &fingerprint).await? {
        let workflow = Some(convert::workflow(row));
        return Ok(CreateWorkflowResponse { workflow, diagnostics });
    }
    let write = Write {
        request: RequestKey::of(&context.namespace, &request.request_id, || fingerprint.clone()),
        ..write_of(context, &checked, Expected::Absent, revision)
    };
    let name = write.name.clone();
    let telling = context.telling("workflow", &name, &request.request_id);
    match telling.write(write).await.map_err(storage)? {
        Written::Done(row) => Ok(CreateWorkflowResponse {
            workflow: Some(convert::workflow(row)),
            diagnostics,
        }),
        Written::Unexpected => {
            // The same request may have arrived twice at once, and the other have been faster.
            if let Some(row) = former(context, &request.request_id, &fingerprint).await? {
                let workflow = Some(convert::workflow(row));
                return Ok(CreateWorkflowResponse { workflow, diagnostics });
            }
            let message =
                format!("workflow {name} exists already; apply the file to change it, or choose another name");
            Err(ApiError::new(ErrorReason::WorkflowExists, message)
                .with("workflow", name)
                .into())
        }
    }
}

/// What an earlier call with the same request id created.
async fn former(context: &Context, id: &str, fingerprint: &str) -> Result<Option<WorkflowRow>, Status> {
    if id.is_empty() {
        return Ok(None);
    }
    let (namespace, key) = (&context.namespace, context.namespace.key(id));
    let Some((name, known)) = context.store.request(namespace, &key).await.map_err(storage)? else {
        return Ok(None);
    };
    if known != fingerprint {
        return Err(idempotency::reused("to create another workflow").into());
    }
    find(context, &name).await.map(Some)
}
