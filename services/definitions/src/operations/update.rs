//! Changes a workflow's description, labels or text.

use nexus_api::definitions::v1::{UpdateWorkflowRequest, UpdateWorkflowResponse};
use nexus_api::error::ApiError;
use tonic::Status;

use super::{check, check_message, find, new_revision};
use crate::Context;
use crate::convert;
use crate::error::{etag_mismatch, storage};
use crate::store::{Expected, Write, Written};

const FIELDS: [&str; 3] = ["description", "labels", "source"];
const MAX_DESCRIPTION: usize = 4_096;

pub(crate) async fn update(
    context: &Context,
    request: UpdateWorkflowRequest,
) -> Result<UpdateWorkflowResponse, Status> {
    check_message(&request.message)?;
    let changes = |field: &str| match &request.update_mask {
        Some(mask) if !mask.paths.is_empty() => mask.paths.iter().any(|path| path == field),
        _ => match field {
            "description" => !request.description.is_empty(),
            "labels" => !request.labels.is_empty(),
            _ => !request.source.is_empty(),
        },
    };
    if let Some(mask) = &request.update_mask
        && let Some(unknown) = mask.paths.iter().find(|path| !FIELDS.contains(&path.as_str()))
    {
        let problem = format!("{unknown:?} cannot be updated; fields are {}", FIELDS.join(", "));
        return Err(ApiError::field("update_mask", problem).into());
    }
    if request.description.len() > MAX_DESCRIPTION {
        return Err(ApiError::field("description", format!("has more than {MAX_DESCRIPTION} bytes")).into());
    }
    let current = find(context, &request.workflow).await?;
    let version = if request.etag.is_empty() {
        Some(current.version)
    } else {
        convert::version(&request.etag)
    };
    let Some(version) = version else {
        return Err(etag_mismatch(&request.workflow));
    };
    let mut write = Write {
        expected: Expected::Version(version),
        namespace: current.namespace.clone(),
        name: current.name.clone(),
        description: current.description,
        labels: current.labels,
        revision: None,
        request: None,
        at: (context.clock)(),
    };
    let mut warnings = Vec::new();
    if changes("source") {
        let checked = check(&request.source, "").await?;
        if checked.workflow.name != current.name {
            let problem = format!(
                "names the workflow {}; a workflow cannot be renamed",
                checked.workflow.name
            );
            return Err(ApiError::field("source", problem).into());
        }
        write.description.clone_from(&checked.workflow.description);
        write.labels = checked.workflow.labels.clone().into_iter().collect();
        write.revision = Some(new_revision(&checked.workflow, &request.source, &request.message));
        warnings = convert::diagnostics(&checked.warnings);
    }
    if changes("description") {
        write.description.clone_from(&request.description);
    }
    if changes("labels") {
        write.labels = request.labels.into_iter().collect();
    }
    let telling = context.telling("workflow", &write.name, "");
    match telling.write(write).await.map_err(storage)? {
        Written::Done(row) => Ok(UpdateWorkflowResponse {
            workflow: Some(convert::workflow(row)),
            diagnostics: warnings,
        }),
        Written::Unexpected => Err(etag_mismatch(&request.workflow)),
    }
}
