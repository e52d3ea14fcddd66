//! Sets a user's password.

use nexus_api::access::v1::{SetUserPasswordRequest, SetUserPasswordResponse};
use nexus_api::error::ApiError;
use nexus_api::method::Permission;
use tonic::Status;

use super::{find_user, require_power_over};
use crate::caller::Caller;
use crate::error::{About, about};
use crate::store::{NewPassword, UserKind};
use crate::{Context, rules};

pub(crate) async fn set(
    context: &Context,
    caller: &Caller,
    request: SetUserPasswordRequest,
) -> Result<SetUserPasswordResponse, Status> {
    caller.require(Permission::AccessWrite)?;
    let user = find_user(context, &request.user).await?;
    require_power_over(context, caller, &user).await?;
    if user.kind == UserKind::ServiceAccount {
        return Err(ApiError::field("user", "a service account has no password; create an API key for it").into());
    }
    rules::password("new_password", &user.name, &request.new_password)?;
    let hash = context
        .passwords
        .hash(&request.new_password)
        .await
        .map_err(ApiError::from)?;
    let password = NewPassword {
        user: &user.name,
        // What was looked at is what is changed: else somebody could have become more powerful in between.
        version: Some(user.version),
        hash: &hash,
        keep: None,
        at: (context.clock)(),
    };
    let set = context.telling("user", &user.name).set_password(&password).await;
    set.map_err(about(About::User(&user.name)))?;
    Ok(SetUserPasswordResponse {})
}
