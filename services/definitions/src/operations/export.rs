//! Gives the file of a workflow back.

use nexus_api::definitions::v1::{ExportFormat, ExportWorkflowRequest, ExportWorkflowResponse};
use nexus_spec::model::Workflow;
use tonic::Status;

use super::revisions::read;
use crate::Context;
use crate::error::storage;
use crate::store::{RevisionRow, StoreError};

pub(crate) async fn export(
    context: &Context,
    request: ExportWorkflowRequest,
) -> Result<ExportWorkflowResponse, Status> {
    let format = request.format();
    let row = read(context, &request.workflow, request.revision).await?;
    let (content, media_type) = match format {
        ExportFormat::Unspecified | ExportFormat::Source => {
            let json = row.source.trim_start().starts_with('{');
            (row.source, if json { "application/json" } else { "application/yaml" })
        }
        ExportFormat::Yaml => (nexus_spec::yaml::to_yaml(&stored(&row)?), "application/yaml"),
        ExportFormat::Json => {
            let document = stored(&row)?;
            (
                serde_json::to_string_pretty(&document).unwrap_or(row.document),
                "application/json",
            )
        }
    };
    Ok(ExportWorkflowResponse {
        content,
        media_type: media_type.to_owned(),
    })
}

/// The workflow that a revision holds.
pub(super) fn stored(row: &RevisionRow) -> Result<Workflow, Status> {
    Workflow::from_document(&row.document).map_err(|error| {
        storage(StoreError::Inconsistent(format!(
            "{} {}: {error}",
            row.workflow, row.number
        )))
    })
}
