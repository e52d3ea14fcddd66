//! Revokes an API key.

use nexus_api::access::v1::{RevokeApiKeyRequest, RevokeApiKeyResponse};
use nexus_api::method::Permission;
use tonic::Status;

use super::get_key::visible;
use crate::caller::Caller;
use crate::error::{About, about};
use crate::{Context, convert};

pub(crate) async fn revoke(
    context: &Context,
    caller: &Caller,
    request: RevokeApiKeyRequest,
) -> Result<RevokeApiKeyResponse, Status> {
    let key = visible(context, caller, &request.key).await?;
    if caller.user() != Some(&key.user) {
        caller.require(Permission::AccessWrite)?;
    }
    let revoked = context
        .telling("api_key", &key.id)
        .revoke_key(&key.id, (context.clock)())
        .await;
    Ok(RevokeApiKeyResponse {
        api_key: Some(convert::key(revoked.map_err(about(About::Key(&key.id)))?)),
    })
}
