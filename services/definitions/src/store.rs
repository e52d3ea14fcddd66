//! The storage port: what the definitions service asks of a database, in its own words.

pub mod postgres;
pub mod secrets;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod suite;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use nexus_api::Namespace;
use nexus_service::idempotency::RequestKey;
use nexus_storage::outbox::{Note, Outbox};

/// A workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRow {
    /// The namespace that it belongs to.
    pub namespace: Namespace,
    /// Its name there.
    pub name: String,
    /// For people.
    pub description: String,
    /// Key-value pairs.
    pub labels: BTreeMap<String, String>,
    /// Number of its newest revision.
    pub latest_revision: u32,
    /// Number of tasks in it.
    pub task_count: u32,
    /// When it was created.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
    /// Grows with every change.
    pub version: i64,
}

/// A revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionRow {
    /// The workflow's name.
    pub workflow: String,
    /// From 1, without gaps.
    pub number: u32,
    /// SHA-256 of the document.
    pub digest: String,
    /// The file as it was written.
    pub source: String,
    /// The canonical document.
    pub document: String,
    /// What changed, in the author's words.
    pub message: String,
    /// When it was created.
    pub created_at: i64,
}

/// What a write expects to find; it changes nothing when it finds otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// No workflow of that name (a deleted one counts as none).
    Absent,
    /// The workflow in this version.
    Version(i64),
}

/// A workflow's new form, to be written at once or not at all.
#[derive(Debug, Clone)]
pub struct Write {
    /// What must be found.
    pub expected: Expected,
    /// The namespace.
    pub namespace: Namespace,
    /// The workflow's name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// A new revision, if there is one; its number is given by the store.
    pub revision: Option<NewRevision>,
    /// The caller's idempotency key, which says the namespace too, and the fingerprint of its request.
    pub request: Option<RequestKey>,
    /// When this happens.
    pub at: i64,
}

/// A revision that is to be written.
#[derive(Debug, Clone)]
pub struct NewRevision {
    /// SHA-256 of the document.
    pub digest: String,
    /// The file as it was written.
    pub source: String,
    /// The canonical document.
    pub document: String,
    /// What changed.
    pub message: String,
    /// Number of its tasks.
    pub task_count: u32,
}

/// What a write did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It was written; the workflow as it is now.
    Done(WorkflowRow),
    /// Something else was found than expected.
    Unexpected,
}

/// Which workflows to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only this one.
    pub name: Option<String>,
    /// Only those whose name contains this.
    pub name_part: Option<String>,
    /// Only with these labels.
    pub labels: Vec<(String, String)>,
}

/// The store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store holds something that no version of NEXUS wrote.
    #[error("the store is inconsistent: {0}")]
    Inconsistent(String),
    /// A text that this database cannot store.
    #[error("{field} holds a NUL character, which cannot be stored")]
    Unstorable {
        /// Which field of the request.
        field: &'static str,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] nexus_storage::Error),
}

/// What the definitions service asks of a database. What belongs to another namespace than the one that is named is not
/// there.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Writes a workflow's new form.
    async fn write(&self, write: Write) -> Result<Written, StoreError>;

    /// Deletes a workflow, if it is found in this version (in any, when none is given). Its revisions stay.
    async fn delete(
        &self,
        namespace: &Namespace,
        name: &str,
        version: Option<i64>,
        at: i64,
    ) -> Result<bool, StoreError>;

    /// One workflow.
    async fn workflow(&self, namespace: &Namespace, name: &str) -> Result<Option<WorkflowRow>, StoreError>;

    /// A page of workflows by name, those after `after`.
    async fn list(
        &self,
        namespace: &Namespace,
        filter: &ListFilter,
        after: &str,
        limit: u32,
    ) -> Result<Vec<WorkflowRow>, StoreError>;

    /// One revision; also of a deleted workflow.
    async fn revision(
        &self,
        namespace: &Namespace,
        workflow: &str,
        number: u32,
    ) -> Result<Option<RevisionRow>, StoreError>;

    /// A page of revisions, newest first, those before `before` (all when 0), without their texts.
    async fn revisions(
        &self,
        namespace: &Namespace,
        workflow: &str,
        before: u32,
        limit: u32,
    ) -> Result<Vec<RevisionRow>, StoreError>;

    /// The same store, of which each change writes a note into the outbox with itself.
    fn telling(&self, note: Note) -> Arc<dyn Store>;

    /// Where notes wait.
    fn outbox(&self) -> Arc<dyn Outbox>;

    /// The workflow that an idempotency key created ([`RequestKey`]; the workflow is one of the namespace that it says), and
    /// the fingerprint of that request.
    async fn request(&self, namespace: &Namespace, key: &str) -> Result<Option<(String, String)>, StoreError>;
}

/// What a workflow is written under: its name in `default`, one that says the namespace too elsewhere.
fn written<'a>(namespace: &Namespace, name: &'a str) -> Result<Cow<'a, str>, StoreError> {
    let found = namespace.find(name);
    found.ok_or_else(|| StoreError::Inconsistent(format!("{name:?} is not a name of a workflow")))
}

/// Where a workflow's own name begins in what it is written under, as databases count characters: from 1.
fn own_name(namespace: &Namespace) -> i64 {
    let before = namespace.qualify("").len();
    i64::try_from(before).unwrap_or_default() + 1
}
