//! Changes the caller's password.

use nexus_api::access::v1::{ChangeOwnPasswordRequest, ChangeOwnPasswordResponse};
use nexus_api::error::ApiError;
use tonic::Status;

use crate::caller::Caller;
use crate::enter::{self, From};
use crate::error::{About, about};
use crate::store::NewPassword;
use crate::{Context, rules};

pub(crate) async fn change(
    context: &Context,
    caller: &Caller,
    from: From,
    request: ChangeOwnPasswordRequest,
) -> Result<ChangeOwnPasswordResponse, Status> {
    let Some(name) = caller.user() else {
        return Err(ApiError::field("password", "you are no user, and have none").into());
    };
    rules::shown_password("password", &request.password)?;
    rules::password("new_password", name, &request.new_password)?;
    // Whoever has found a session open has no more tries than at the login.
    let user = enter::check_password(context, name, &request.password, &from).await?;
    let hash = context
        .passwords
        .hash(&request.new_password)
        .await
        .map_err(ApiError::from)?;
    let password = NewPassword {
        user: &user.name,
        // One that an administrator has set meanwhile is not overwritten by who knew the one of before.
        version: Some(user.version),
        hash: &hash,
        keep: caller.session(),
        at: (context.clock)(),
    };
    let set = context.telling("user", &user.name).set_password(&password).await;
    set.map_err(about(About::User(&user.name)))?;
    Ok(ChangeOwnPasswordResponse {})
}
