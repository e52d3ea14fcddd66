//! Describes one channel or rule.

use tonic::Status;

use super::{Call, Context};
use crate::error::{not_found, storage};
use crate::objects::Object;

pub(crate) async fn get<T: Object>(context: &Context, call: &Call, name: &str) -> Result<T, Status> {
    let kept = context
        .store
        .kept(T::KIND, &call.namespace, name)
        .await
        .map_err(storage)?;
    let kept = kept.ok_or_else(|| not_found(T::KIND, name))?;
    T::of(&kept).map_err(storage)
}
