//! Lists secrets by name.

use nexus_api::definitions::v1::{ListSecretsRequest, ListSecretsResponse};
use nexus_service::page;
use tonic::Status;

use super::{Call, Context, described};
use crate::error::storage;

pub(crate) async fn list(
    context: &Context,
    call: &Call,
    request: &ListSecretsRequest,
) -> Result<ListSecretsResponse, Status> {
    let size = page::size(request.page_size)?;
    let query = format!("secrets|{}", call.namespace);
    let after = page::key(&query, &request.page_token)?.unwrap_or_default();
    let rows = context.store.secrets(&call.namespace, &after, size + 1).await;
    let mut rows = rows.map_err(storage)?;
    let mut next_page_token = String::new();
    if rows.len() > size as usize {
        rows.truncate(size as usize);
        next_page_token = rows
            .last()
            .map(|last| page::token(&query, &last.name))
            .unwrap_or_default();
    }
    Ok(ListSecretsResponse {
        secrets: rows.into_iter().map(|row| described(&call.namespace, row)).collect(),
        next_page_token,
    })
}
