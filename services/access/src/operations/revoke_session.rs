//! Ends a session.

use nexus_api::access::v1::{RevokeSessionRequest, RevokeSessionResponse};
use nexus_api::method::Permission;
use tonic::Status;

use super::{find_user, require_power_over};
use crate::caller::Caller;
use crate::error::{About, not_found, storage};
use crate::{Context, tokens};

pub(crate) async fn revoke(
    context: &Context,
    caller: &Caller,
    request: RevokeSessionRequest,
) -> Result<RevokeSessionResponse, Status> {
    let id = &request.session;
    let absent = || Status::from(not_found(About::Session(id)));
    if !tokens::is_id(id) {
        return Err(absent());
    }
    let session = context.store.session(id).await.map_err(storage)?.ok_or_else(absent)?;
    if !caller.is_in_person(&session.user) {
        if let Err(missing) = caller.require(Permission::AccessWrite) {
            // Another's is not there for who may not see it.
            let seen = caller.user() == Some(&session.user) || caller.may(Permission::AccessRead);
            return Err(if seen { missing.into() } else { absent() });
        }
        require_power_over(context, caller, &find_user(context, &session.user).await?).await?;
    }
    let ended = context.telling("session", id).end_session(id, (context.clock)()).await;
    ended.map_err(storage)?;
    Ok(RevokeSessionResponse {})
}
