//! Reads and lists revisions.

use nexus_api::definitions::v1::{
    GetRevisionRequest, GetRevisionResponse, ListRevisionsRequest, ListRevisionsResponse,
};
use nexus_service::page;
use tonic::Status;

use super::find;
use crate::Context;
use crate::convert;
use crate::error::{revision_not_found, storage};
use crate::store::RevisionRow;

pub(crate) async fn get(context: &Context, request: GetRevisionRequest) -> Result<GetRevisionResponse, Status> {
    let row = read(context, &request.workflow, request.revision).await?;
    Ok(GetRevisionResponse {
        revision: Some(convert::revision(row)),
    })
}

/// A revision by its number, the newest when 0. A deleted workflow's revisions are found by their numbers only.
pub(super) async fn read(context: &Context, workflow: &str, number: u32) -> Result<RevisionRow, Status> {
    let number = if number == 0 {
        find(context, workflow).await?.latest_revision
    } else {
        number
    };
    let found = context.store.revision(&context.namespace, workflow, number).await;
    match found.map_err(storage)? {
        Some(row) => Ok(row),
        None => {
            find(context, workflow).await?;
            Err(revision_not_found(workflow, number))
        }
    }
}

pub(crate) async fn list(context: &Context, request: ListRevisionsRequest) -> Result<ListRevisionsResponse, Status> {
    let size = page::size(request.page_size)?;
    let name = find(context, &request.workflow).await?.name;
    let query = format!("revisions|{}", context.namespace.qualify(&name));
    let before = page::key_as(&query, &request.page_token)?.unwrap_or(0);
    let mut rows = context
        .store
        .revisions(&context.namespace, &name, before, size + 1)
        .await
        .map_err(storage)?;
    let mut next_page_token = String::new();
    if rows.len() > size as usize {
        rows.truncate(size as usize);
        next_page_token = rows
            .last()
            .map(|last| page::token(&query, &last.number.to_string()))
            .unwrap_or_default();
    }
    Ok(ListRevisionsResponse {
        revisions: rows.into_iter().map(convert::revision).collect(),
        next_page_token,
    })
}
