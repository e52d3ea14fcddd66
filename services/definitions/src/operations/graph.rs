//! Draws the graph of a workflow.

use nexus_api::ErrorReason;
use nexus_api::definitions::v1::{GetWorkflowGraphRequest, GetWorkflowGraphResponse, GraphFormat};
use nexus_api::error::ApiError;
use nexus_graph::{Graph, render};
use nexus_spec::model::Workflow;
use tonic::Status;

use super::export::stored;
use super::revisions::read;
use crate::Context;

pub(crate) async fn graph(
    context: &Context,
    request: GetWorkflowGraphRequest,
) -> Result<GetWorkflowGraphResponse, Status> {
    let format = request.format();
    let workflow = stored(&read(context, &request.workflow, request.revision).await?)?;
    if let Some((task, seconds)) = request.expected_seconds.iter().find(|(_, s)| !s.is_finite() || **s < 0.0) {
        let problem = format!("{task} has {seconds}; a duration is a number of seconds, at least 0");
        return Err(ApiError::field("expected_seconds", problem).into());
    }
    let graph = graph_of(&workflow)?;
    let seconds: Vec<f64> =
        workflow.tasks.keys().map(|id| request.expected_seconds.get(id).copied().unwrap_or(1.0)).collect();
    let (content, media_type) = match format {
        GraphFormat::Unspecified | GraphFormat::Json => {
            (render::json(&graph, &workflow.name, &seconds), "application/json")
        }
        GraphFormat::Mermaid => (render::mermaid(&graph, &workflow.name, &seconds), "text/vnd.mermaid"),
        GraphFormat::Dot => (render::dot(&graph, &workflow.name, &seconds), "text/vnd.graphviz"),
        GraphFormat::Svg => (render::svg(&graph, &workflow.name, &seconds), "image/svg+xml"),
    };
    Ok(GetWorkflowGraphResponse { content, media_type: media_type.to_owned() })
}

/// The graph of a workflow that was checked.
pub(super) fn graph_of(workflow: &Workflow) -> Result<Graph, Status> {
    let ids: Vec<String> = workflow.tasks.keys().cloned().collect();
    let mut edges = Vec::new();
    for (position, id) in ids.iter().enumerate() {
        for needed in workflow.dependencies(id) {
            edges.extend(workflow.tasks.get_index_of(needed.as_str()).map(|needed| (needed, position)));
        }
    }
    Graph::new(&ids, &edges).map_err(|cycle| {
        ApiError::new(ErrorReason::Internal, format!("the stored workflow {} cannot be drawn: {cycle}", workflow.name))
            .into()
    })
}
