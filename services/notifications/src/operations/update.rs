//! Puts another content in the place of a channel's or a rule's.

use nexus_api::error::ApiError;
use tonic::Status;

use super::{Call, Context};
use crate::error::{etag_mismatch, fields, not_found, storage};
use crate::objects::{Object, version};
use crate::store::{Expected, Put};

pub(crate) async fn update<T: Object>(
    context: &Context,
    call: &Call,
    name: &str,
    wanted: T,
    etag: &str,
) -> Result<T, Status> {
    if !wanted.name().is_empty() && wanted.name() != name {
        let problem = format!("cannot change: it is {name}");
        return Err(ApiError::field(&format!("{}.name", T::WORD), problem).into());
    }
    if context
        .store
        .kept(T::KIND, &call.namespace, name)
        .await
        .map_err(storage)?
        .is_none()
    {
        return Err(not_found(T::KIND, name));
    }
    let wanted = wanted.bare(name);
    fields(&wanted.check())?;
    let put = Put {
        kind: T::KIND,
        expected: Expected::There(version(etag)?),
        namespace: call.namespace.clone(),
        name: name.to_owned(),
        content: wanted.encode_to_vec(),
        at: (context.clock)(),
        by: call.subject.clone(),
        request: None,
    };
    let telling = context.telling(call, T::WORD, name, "");
    match telling.put(put).await.map_err(storage)? {
        Some(kept) => T::of(&kept).map_err(storage),
        None if etag.is_empty() => Err(not_found(T::KIND, name)),
        None => Err(etag_mismatch(T::WORD, name)),
    }
}
