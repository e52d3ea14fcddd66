//! Rows as the port's words have them.

use nexus_api::Namespace;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::database;
use crate::store::{RevisionRow, StoreError, WorkflowRow};

fn small(row: &PgRow, column: &str) -> Result<u32, StoreError> {
    let number: i64 = row.try_get(column).map_err(database)?;
    u32::try_from(number).map_err(|_| StoreError::Inconsistent(format!("{column} is {number}")))
}

/// A workflow of a namespace.
pub(super) fn workflow_row(namespace: &Namespace, row: &PgRow) -> Result<WorkflowRow, StoreError> {
    let labels: String = row.try_get("labels").map_err(database)?;
    let labels = serde_json::from_str(&labels)
        .map_err(|error| StoreError::Inconsistent(format!("a workflow's labels: {error}")))?;
    let name: String = row.try_get("name").map_err(database)?;
    Ok(WorkflowRow {
        namespace: namespace.clone(),
        name: namespace.plain(&name).to_owned(),
        description: row.try_get("description").map_err(database)?,
        labels,
        latest_revision: small(row, "latest_revision")?,
        task_count: small(row, "task_count")?,
        created_at: row.try_get("created_at").map_err(database)?,
        updated_at: row.try_get("updated_at").map_err(database)?,
        version: row.try_get("version").map_err(database)?,
    })
}

/// A revision of a workflow of a namespace.
pub(super) fn revision_row(namespace: &Namespace, row: &PgRow) -> Result<RevisionRow, StoreError> {
    let workflow: String = row.try_get("workflow").map_err(database)?;
    Ok(RevisionRow {
        workflow: namespace.plain(&workflow).to_owned(),
        number: small(row, "number")?,
        digest: row.try_get("digest").map_err(database)?,
        source: row.try_get("source").map_err(database)?,
        document: row.try_get("document").map_err(database)?,
        message: row.try_get("message").map_err(database)?,
        created_at: row.try_get("created_at").map_err(database)?,
    })
}
