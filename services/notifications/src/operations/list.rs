//! Lists channels or rules by name.

use nexus_service::page;
use tonic::Status;

use super::{Call, Context};
use crate::error::storage;
use crate::objects::Object;

/// A page, and the token of the next one.
pub(crate) async fn list<T: Object>(
    context: &Context,
    call: &Call,
    page_size: i32,
    page_token: &str,
) -> Result<(Vec<T>, String), Status> {
    let size = page::size(page_size)?;
    let query = format!("{}s|{}", T::WORD, call.namespace);
    let after = page::key(&query, page_token)?.unwrap_or_default();
    let rows = context.store.list(T::KIND, &call.namespace, &after, size + 1).await;
    let mut rows = rows.map_err(storage)?;
    let mut next = String::new();
    if rows.len() > size as usize {
        rows.truncate(size as usize);
        next = rows
            .last()
            .map(|last| page::token(&query, &last.name))
            .unwrap_or_default();
    }
    let told: Result<Vec<T>, _> = rows.iter().map(T::of).collect();
    Ok((told.map_err(storage)?, next))
}
