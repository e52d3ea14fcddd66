//! What callers can ask: one file a verb.

pub(crate) mod apply;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod export;
pub(crate) mod get;
pub(crate) mod graph;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod revisions;
pub(crate) mod update;
pub(crate) mod validate;

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use nexus_spec::model::Workflow;
use nexus_spec::{Diagnostic, ParseOutcome, Severity};
use tonic::Status;

use crate::Context;
use crate::error::{invalid_workflow, storage, workflow_not_found};
use crate::store::{ListFilter, NewRevision, WorkflowRow, Write};

/// Bytes of a file at most.
const MAX_SOURCE: usize = nexus_spec::MAX_BYTES;
/// A text with more bytes takes milliseconds to read.
const LARGE: usize = 64 << 10;
/// Bytes of an author's message at most.
const MAX_MESSAGE: usize = 1_024;

/// A text without errors, and its warnings.
struct Checked {
    workflow: Workflow,
    warnings: Vec<Diagnostic>,
}

/// Reads a text, a large one where it holds up nobody else.
async fn read(source: &str, file: &str) -> Result<ParseOutcome, Status> {
    if source.len() <= LARGE {
        return Ok(nexus_spec::parse(source, file));
    }
    let (source, file) = (source.to_owned(), file.to_owned());
    let reading = tokio::task::spawn_blocking(move || nexus_spec::parse(&source, &file));
    reading.await.map_err(|error| {
        tracing::error!(%error, "a workflow file could not be read");
        ApiError::new(
            ErrorReason::Internal,
            "the file could not be read; the server's log has the details",
        )
        .into()
    })
}

/// Reads and checks a text.
async fn check(source: &str, file: &str) -> Result<Checked, Status> {
    check_size(source)?;
    let outcome = read(source, file).await?;
    let broken = outcome
        .diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error);
    match outcome.workflow {
        Some(workflow) if !broken => Ok(Checked {
            workflow,
            warnings: outcome.diagnostics,
        }),
        _ => Err(invalid_workflow(&outcome.diagnostics)),
    }
}

fn check_size(source: &str) -> Result<(), Status> {
    if source.trim().is_empty() {
        return Err(ApiError::field("source", "must hold a workflow file").into());
    }
    if source.len() > MAX_SOURCE {
        let problem = format!("has {} bytes, at most {MAX_SOURCE} are taken", source.len());
        return Err(ApiError::new(ErrorReason::PayloadTooLarge, format!("source {problem}"))
            .violation("source", problem)
            .into());
    }
    Ok(())
}

fn check_message(message: &str) -> Result<(), Status> {
    if message.len() > MAX_MESSAGE {
        return Err(ApiError::field("message", format!("has more than {MAX_MESSAGE} bytes")).into());
    }
    Ok(())
}

fn new_revision(workflow: &Workflow, source: &str, message: &str) -> NewRevision {
    NewRevision {
        digest: workflow.digest(),
        source: source.to_owned(),
        document: workflow.to_document(),
        message: message.to_owned(),
        task_count: u32::try_from(workflow.tasks.len()).unwrap_or(u32::MAX),
    }
}

/// A write that makes the stored workflow be what a checked text says.
fn write_of(context: &Context, checked: &Checked, expected: crate::store::Expected, revision: NewRevision) -> Write {
    Write {
        expected,
        namespace: context.namespace.clone(),
        name: checked.workflow.name.clone(),
        description: checked.workflow.description.clone(),
        labels: checked.workflow.labels.clone().into_iter().collect(),
        revision: Some(revision),
        request: None,
        at: (context.clock)(),
    }
}

/// The workflow of a name, or an error that names a near one.
async fn find(context: &Context, name: &str) -> Result<WorkflowRow, Status> {
    if name.is_empty() {
        return Err(ApiError::field("workflow", "must name a workflow").into());
    }
    if let Some(row) = context
        .store
        .workflow(&context.namespace, name)
        .await
        .map_err(storage)?
    {
        return Ok(row);
    }
    let all = context
        .store
        .list(&context.namespace, &ListFilter::default(), "", 1_000)
        .await
        .map_err(storage)?;
    let near = nexus_spec::nearest(name, all.iter().map(|row| row.name.as_str()));
    Err(workflow_not_found(name, near))
}
