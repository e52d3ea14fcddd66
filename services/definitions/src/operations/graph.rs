//! Draws the graph of a workflow.

use nexus_api::ErrorReason;
use nexus_api::definitions::v1::{GetWorkflowGraphRequest, GetWorkflowGraphResponse, GraphFormat};
use nexus_api::error::ApiError;
use nexus_graph::Graph;
use nexus_graph::render::{self, Picture};
use nexus_spec::model::Workflow;
use tonic::Status;

use super::export::stored;
use super::revisions::read;
use crate::Context;

/// The longest duration of a task that is drawn, in seconds: ten years, as spans of a file. Sums of it stay numbers.
const LONGEST: f64 = 315_360_000.0;

pub(crate) async fn graph(
    context: &Context,
    request: GetWorkflowGraphRequest,
) -> Result<GetWorkflowGraphResponse, Status> {
    let format = request.format();
    let workflow = stored(&read(context, &request.workflow, request.revision).await?)?;
    if let Some((task, seconds)) = request
        .expected_seconds
        .iter()
        .find(|(_, seconds)| !(0.0..=LONGEST).contains(*seconds))
    {
        let problem = format!("{task} has {seconds}; a duration is 0 to {LONGEST} seconds (ten years)");
        return Err(ApiError::field("expected_seconds", problem).into());
    }
    let graph = graph_of(&workflow)?;
    let expected = |id: &str| request.expected_seconds.get(id).copied().unwrap_or(1.0);
    let kind = |id: &str| {
        workflow
            .tasks
            .get(id)
            .map(|task| task.kind.key().to_owned())
            .unwrap_or_default()
    };
    let picture = Picture {
        title: &workflow.name,
        kind: &kind,
        expected: &expected,
    };
    let (content, media_type) = match format {
        GraphFormat::Unspecified | GraphFormat::Json => (render::json(&graph, picture), "application/json"),
        GraphFormat::Mermaid => (render::mermaid(&graph, picture), "text/vnd.mermaid"),
        GraphFormat::Dot => (render::dot(&graph, picture), "text/vnd.graphviz"),
        GraphFormat::Svg => (render::svg(&graph, picture), "image/svg+xml"),
    };
    Ok(GetWorkflowGraphResponse {
        content,
        media_type: media_type.to_owned(),
    })
}

/// The graph of a workflow that was checked.
pub(super) fn graph_of(workflow: &Workflow) -> Result<Graph, Status> {
    let mut edges = Vec::new();
    for id in workflow.tasks.keys() {
        edges.extend(workflow.dependencies(id).into_iter().map(|needed| (needed, id)));
    }
    Graph::new(workflow.tasks.keys(), edges).map_err(|cycle| {
        ApiError::new(
            ErrorReason::Internal,
            format!("the stored workflow {} cannot be drawn: {cycle}", workflow.name),
        )
        .into()
    })
}
