//! Checks a text and stores nothing.

use nexus_api::definitions::v1::{TaskGroup, ValidateWorkflowRequest, ValidateWorkflowResponse};
use nexus_spec::Severity;
use tonic::Status;

use super::graph::graph_of;
use super::{check_size, read};
use crate::convert;

pub(crate) async fn validate(request: &ValidateWorkflowRequest) -> Result<ValidateWorkflowResponse, Status> {
    check_size(&request.source)?;
    let outcome = read(&request.source, &request.file).await?;
    let valid = outcome.workflow.is_some()
        && outcome
            .diagnostics
            .iter()
            .all(|diagnostic| diagnostic.severity != Severity::Error);
    let mut answer = ValidateWorkflowResponse {
        valid,
        diagnostics: convert::diagnostics(&outcome.diagnostics),
        workflow: outcome
            .workflow
            .as_ref()
            .map(|workflow| workflow.name.clone())
            .unwrap_or_default(),
        order: Vec::new(),
        groups: Vec::new(),
    };
    if let Some(workflow) = outcome.workflow.filter(|_| valid) {
        let graph = graph_of(&workflow)?;
        let named = |tasks: Vec<&str>| tasks.into_iter().map(str::to_owned).collect();
        answer.order = named(graph.order());
        answer.groups = graph
            .groups()
            .into_iter()
            .map(|group| TaskGroup { tasks: named(group) })
            .collect();
    }
    Ok(answer)
}
