//! Rows and findings as the contract's messages.

use nexus_api::common::v1 as common;
use nexus_api::definitions::v1::{Revision, Workflow};
use nexus_api::time::timestamp;
use nexus_spec::{Diagnostic, Severity};

use crate::store::{RevisionRow, WorkflowRow};

pub(crate) fn workflow(row: WorkflowRow) -> Workflow {
    Workflow {
        etag: etag(row.version),
        name: row.name,
        description: row.description,
        labels: row.labels.into_iter().collect(),
        latest_revision: row.latest_revision,
        task_count: row.task_count,
        create_time: Some(timestamp(row.created_at)),
        update_time: Some(timestamp(row.updated_at)),
        namespace: row.namespace.to_string(),
    }
}

pub(crate) fn etag(version: i64) -> String {
    format!("v{version}")
}

/// The version that an etag names.
pub(crate) fn version(etag: &str) -> Option<i64> {
    etag.strip_prefix('v')?.parse().ok()
}

pub(crate) fn revision(row: RevisionRow) -> Revision {
    Revision {
        workflow: row.workflow,
        number: row.number,
        digest: row.digest,
        source: row.source,
        document: row.document,
        message: row.message,
        create_time: Some(timestamp(row.created_at)),
    }
}

pub(crate) fn diagnostics(findings: &[Diagnostic]) -> Vec<common::Diagnostic> {
    findings.iter().map(diagnostic).collect()
}

fn diagnostic(finding: &Diagnostic) -> common::Diagnostic {
    let severity = match finding.severity {
        Severity::Error => common::Severity::Error,
        Severity::Warning => common::Severity::Warning,
    };
    common::Diagnostic {
        code: finding.code.to_owned(),
        severity: severity.into(),
        message: finding.message.clone(),
        fix: finding.fix.clone(),
        path: finding.path.clone(),
        file: finding.file.clone(),
        line: finding.line,
        column: finding.column,
    }
}
