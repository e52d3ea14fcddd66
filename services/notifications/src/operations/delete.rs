//! Deletes a channel or a rule.

use tonic::Status;

use super::{Call, Context};
use crate::error::{etag_mismatch, not_found, storage};
use crate::objects::{Object, version};

pub(crate) async fn delete<T: Object>(context: &Context, call: &Call, name: &str, etag: &str) -> Result<(), Status> {
    let telling = context.telling(call, T::WORD, name, "");
    let deleted = telling.delete(T::KIND, &call.namespace, name, version(etag)?).await;
    if deleted.map_err(storage)? {
        return Ok(());
    }
    let there = context
        .store
        .kept(T::KIND, &call.namespace, name)
        .await
        .map_err(storage)?;
    Err(match there {
        Some(_) => etag_mismatch(T::WORD, name),
        None => not_found(T::KIND, name),
    })
}
