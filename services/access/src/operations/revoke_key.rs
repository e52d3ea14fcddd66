//! Revokes an API key.

use nexus_api::access::v1::{RevokeApiKeyRequest, RevokeApiKeyResponse};
use nexus_api::method::Permission;
use tonic::Status;

use super::get_key::visible;
use super::{find_user, require_power_over};
use crate::caller::Caller;
use crate::error::{About, about};
use crate::{Context, convert};

pub(crate) async fn revoke(
    context: &Context,
    caller: &Caller,
    request: RevokeApiKeyRequest,
) -> Result<RevokeApiKeyResponse, Status> {
    let key = visible(context, caller, &request.key).await?;
    if !caller.is_in_person(&key.user) && caller.key() != Some(&key.id) {
        caller.require(Permission::AccessWrite)?;
        require_power_over(context, caller, &find_user(context, &key.user).await?).await?;
    }
    let revoked = context
        .telling("api_key", &key.id)
        .revoke_key(&key.id, (context.clock)())
        .await;
    Ok(RevokeApiKeyResponse {
        api_key: Some(convert::key(revoked.map_err(about(About::Key(&key.id)))?)),
    })
}
