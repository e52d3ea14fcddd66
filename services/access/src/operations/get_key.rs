//! Reads one API key.

use nexus_api::access::v1::{GetApiKeyRequest, GetApiKeyResponse};
use nexus_api::method::Permission;
use tonic::Status;

use crate::caller::Caller;
use crate::error::{About, not_found, storage};
use crate::store::KeyRow;
use crate::{Context, convert, tokens};

pub(crate) async fn get(
    context: &Context,
    caller: &Caller,
    request: GetApiKeyRequest,
) -> Result<GetApiKeyResponse, Status> {
    let key = visible(context, caller, &request.key).await?;
    Ok(GetApiKeyResponse {
        api_key: Some(convert::key(key)),
    })
}

/// A key that the caller may see. Another's is not there for who may not see it.
pub(super) async fn visible(context: &Context, caller: &Caller, id: &str) -> Result<KeyRow, Status> {
    let absent = || Status::from(not_found(About::Key(id)));
    if !tokens::is_id(id) {
        return Err(absent());
    }
    let key = context.store.key(id).await.map_err(storage)?.ok_or_else(absent)?;
    if caller.user() == Some(&key.user) || caller.may(Permission::AccessRead) || caller.may(Permission::AccessWrite) {
        Ok(key)
    } else {
        Err(absent())
    }
}
