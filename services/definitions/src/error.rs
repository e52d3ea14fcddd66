//! The service's errors as callers see them.

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use nexus_spec::{Diagnostic, Severity};
use tonic::Status;

use crate::store::StoreError;

/// Field violations of one error at most; the summary tells how many there are.
const MAX_VIOLATIONS: usize = 50;

pub(crate) fn storage(error: StoreError) -> Status {
    let told = match &error {
        StoreError::Inconsistent(what) => nexus_service::error::inconsistent(what),
        StoreError::Unstorable { field } => ApiError::field(field, "must not hold NUL characters"),
        StoreError::Database(cause) => nexus_service::error::database(cause),
    };
    told.into()
}

pub(crate) fn workflow_not_found(name: &str, near: Option<&str>) -> Status {
    let hint = near.map_or_else(
        || "; the list of workflows has those that are there".to_owned(),
        |near| format!("; did you mean {near}?"),
    );
    let error = ApiError::new(
        ErrorReason::WorkflowNotFound,
        format!("there is no workflow {name:?}{hint}"),
    );
    error.with("workflow", name).into()
}

pub(crate) fn revision_not_found(workflow: &str, number: u32) -> Status {
    let message =
        format!("workflow {workflow} has no revision {number}; the list of its revisions has those that are there");
    ApiError::new(ErrorReason::RevisionNotFound, message)
        .with("workflow", workflow)
        .with("revision", number.to_string())
        .into()
}

pub(crate) fn etag_mismatch(name: &str) -> Status {
    let message =
        format!("workflow {name} was changed by somebody else meanwhile; read it again and repeat the change");
    ApiError::new(ErrorReason::EtagMismatch, message)
        .violation("etag", "is not the current one")
        .into()
}

/// A text with errors: each is a field violation, its field the place in the document. What is said of it has a form, which
/// REST takes apart again: `12:5 NX1203: what is wrong; help: how to mend it`.
pub(crate) fn invalid_workflow(diagnostics: &[Diagnostic]) -> Status {
    let errors: Vec<&Diagnostic> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .collect();
    let first = errors.first().map(|first| first.to_string()).unwrap_or_default();
    let more = if errors.len() > 1 {
        format!(" (and {} more)", errors.len() - 1)
    } else {
        String::new()
    };
    let error = ApiError::new(
        ErrorReason::InvalidWorkflow,
        format!("the workflow file has errors: {first}{more}"),
    );
    let error = errors.iter().take(MAX_VIOLATIONS).fold(error, |error, diagnostic| {
        let place = format!("{}:{}", diagnostic.line, diagnostic.column);
        let fix = if diagnostic.fix.is_empty() {
            String::new()
        } else {
            format!("; help: {}", diagnostic.fix)
        };
        let text = format!("{place} {}: {}{fix}", diagnostic.code, diagnostic.message);
        error.violation(diagnostic.path.clone(), text)
    });
    error.with("errors", errors.len().to_string()).into()
}
