//! Makes a workflow be what a text says.

use nexus_api::ErrorReason;
use nexus_api::definitions::v1::{ApplyOutcome, ApplyWorkflowRequest, ApplyWorkflowResponse};
use nexus_api::error::ApiError;
use tonic::Status;

use super::{Checked, check, check_message, new_revision, write_of};
use crate::Context;
use crate::convert;
use crate::error::storage;
use crate::store::{Expected, WorkflowRow, Written};

/// Tries against others who write the same workflow at the same time.
const TRIES: u32 = 5;

pub(crate) async fn apply(context: &Context, request: ApplyWorkflowRequest) -> Result<ApplyWorkflowResponse, Status> {
    check_message(&request.message)?;
    let checked = check(&request.source, &request.file).await?;
    for _ in 0..TRIES {
        if let Some(answer) = attempt(context, &request, &checked).await? {
            return Ok(answer);
        }
    }
    let message = format!(
        "workflow {} is being changed by others at the same time; repeat the call",
        checked.workflow.name
    );
    Err(ApiError::new(ErrorReason::EtagMismatch, message).into())
}

/// One try; nothing when somebody else was faster.
async fn attempt(
    context: &Context,
    request: &ApplyWorkflowRequest,
    checked: &Checked,
) -> Result<Option<ApplyWorkflowResponse>, Status> {
    let (store, namespace) = (&context.store, &context.namespace);
    let current = store
        .workflow(namespace, &checked.workflow.name)
        .await
        .map_err(storage)?;
    let revision = new_revision(&checked.workflow, &request.source, &request.message);
    let answer = |row: WorkflowRow, outcome: ApplyOutcome| ApplyWorkflowResponse {
        workflow: Some(convert::workflow(row)),
        outcome: outcome.into(),
        diagnostics: convert::diagnostics(&checked.warnings),
    };
    let (expected, outcome) = match &current {
        None => (Expected::Absent, ApplyOutcome::Created),
        Some(row) => {
            let newest = store
                .revision(namespace, &row.name, row.latest_revision)
                .await
                .map_err(storage)?;
            // A changed comment is a change of the file that people read, so it makes a revision too.
            if newest.is_some_and(|newest| newest.digest == revision.digest && newest.source == request.source) {
                return Ok(Some(answer(row.clone(), ApplyOutcome::Unchanged)));
            }
            (Expected::Version(row.version), ApplyOutcome::Updated)
        }
    };
    let write = write_of(context, checked, expected, revision);
    if request.validate_only {
        let latest = current.as_ref().map_or(0, |row| row.latest_revision);
        let would_be = WorkflowRow {
            namespace: write.namespace,
            name: write.name,
            description: write.description,
            labels: write.labels,
            latest_revision: latest + 1,
            task_count: u32::try_from(checked.workflow.tasks.len()).unwrap_or(u32::MAX),
            created_at: current.as_ref().map_or(write.at, |row| row.created_at),
            updated_at: write.at,
            version: current.as_ref().map_or(0, |row| row.version),
        };
        return Ok(Some(answer(would_be, outcome)));
    }
    let telling = context.telling("workflow", &write.name, &request.request_id);
    match telling.write(write).await.map_err(storage)? {
        Written::Done(row) => Ok(Some(answer(row, outcome))),
        Written::Unexpected => Ok(None),
    }
}
