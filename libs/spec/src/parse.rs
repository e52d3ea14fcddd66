//! Reads a workflow file and says everything that is wrong with it, in one pass and in the order of the file.

mod expressions;
mod grpc;
mod handles;
mod http;
mod kinds;
mod notify;
mod python;
mod reader;
mod references;
mod schedules;
mod shared;
mod tasks;
mod values;
mod workflow;

use nexus_graph::Graph;

use crate::diagnostic::Diagnostic;
use crate::findings::Findings;
use crate::model::Workflow;
use crate::source;

/// Largest file, in bytes.
pub const MAX_BYTES: usize = source::MAX_BYTES;
/// Most tasks in a workflow.
pub const MAX_TASKS: usize = 100_000;
/// Most edges in a workflow.
pub const MAX_EDGES: usize = 500_000;
/// Longest description, in bytes.
pub const MAX_DESCRIPTION: usize = 4 * 1024;

/// What a file turned out to be.
#[derive(Debug, Clone)]
pub struct ParseOutcome {
    /// The workflow, when there is no error (there may be warnings).
    pub workflow: Option<Workflow>,
    /// The graph of its tasks, when there is no error.
    pub graph: Option<Graph>,
    /// The workflow's name, when it could be read, even if there are errors.
    pub name: Option<String>,
    /// Everything that was found, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

impl ParseOutcome {
    /// The findings that keep the workflow from running.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error())
    }
}

/// Reads a workflow file, YAML or JSON. `file` is named in the diagnostics; nothing is read from it.
#[must_use]
pub fn parse(source: &str, file: &str) -> ParseOutcome {
    let mut findings = Findings::default();
    let root = source::read(source, &mut findings);
    let (mut workflow, mut graph, mut name) = (None, None, None);
    if let Some(root) = &root {
        let read = workflow::read(root, &mut findings);
        name = read.name;
        if !findings.has_errors() {
            workflow = read.workflow;
            graph = read.graph;
        }
    }
    ParseOutcome {
        workflow,
        graph,
        name,
        diagnostics: findings.into_diagnostics(file),
    }
}

#[cfg(test)]
mod tests;
