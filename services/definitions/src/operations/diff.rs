//! Tells what changed between two revisions.

use nexus_api::definitions::v1::{Change, ChangeKind, DiffRevisionsRequest, DiffRevisionsResponse};
use nexus_spec::diff;
use serde_json::Value;
use tonic::Status;

use super::revisions::read;
use crate::Context;
use crate::error::storage;
use crate::store::{RevisionRow, StoreError};

pub(crate) async fn diff(context: &Context, request: DiffRevisionsRequest) -> Result<DiffRevisionsResponse, Status> {
    let newer = read(context, &request.workflow, request.to).await?;
    // What stood before the first revision is nothing.
    let number = if request.from == 0 {
        newer.number.saturating_sub(1)
    } else {
        request.from
    };
    let older = if number == 0 {
        None
    } else {
        Some(read(context, &request.workflow, number).await?)
    };
    let before = older
        .as_ref()
        .map_or_else(|| Ok(Value::Object(serde_json::Map::new())), document)?;
    let changes = diff::diff(&before, &document(&newer)?);
    let source = older.as_ref().map_or("", |older| older.source.as_str());
    Ok(DiffRevisionsResponse {
        from: number,
        to: newer.number,
        changes: changes.into_iter().map(change).collect(),
        unified: diff::unified(source, &newer.source),
    })
}

fn document(row: &RevisionRow) -> Result<Value, Status> {
    serde_json::from_str(&row.document).map_err(|error| {
        storage(StoreError::Inconsistent(format!(
            "{} {}: {error}",
            row.workflow, row.number
        )))
    })
}

fn change(change: diff::Change) -> Change {
    let kind = match change.kind {
        diff::ChangeKind::Added => ChangeKind::Added,
        diff::ChangeKind::Removed => ChangeKind::Removed,
        diff::ChangeKind::Changed => ChangeKind::Changed,
    };
    let text = |value: Option<Value>| value.map(|value| value.to_string()).unwrap_or_default();
    Change {
        kind: kind.into(),
        path: change.path,
        before: text(change.before),
        after: text(change.after),
    }
}
