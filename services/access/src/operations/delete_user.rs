//! Deletes a user, with their keys and sessions.

use nexus_api::access::v1::{DeleteUserRequest, DeleteUserResponse};
use nexus_api::method::Permission;
use tonic::Status;

use super::{expected, find_user, require_power_over};
use crate::Context;
use crate::caller::Caller;
use crate::error::{About, about};

pub(crate) async fn delete(
    context: &Context,
    caller: &Caller,
    request: DeleteUserRequest,
) -> Result<DeleteUserResponse, Status> {
    caller.require(Permission::AccessWrite)?;
    let version = expected(&request.etag)?;
    let user = find_user(context, &request.user).await?;
    require_power_over(context, caller, &user).await?;
    let version = Some(version.unwrap_or(user.version));
    let deleted = context
        .telling("user", &user.name)
        .delete_user(&user.name, version)
        .await;
    deleted.map_err(about(About::User(&user.name)))?;
    Ok(DeleteUserResponse {})
}
