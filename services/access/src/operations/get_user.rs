//! Reads one user.

use nexus_api::access::v1::{GetUserRequest, GetUserResponse};
use nexus_api::method::Permission;
use tonic::Status;

use super::{find_user, shown};
use crate::Context;
use crate::caller::Caller;

pub(crate) async fn get(
    context: &Context,
    caller: &Caller,
    request: GetUserRequest,
) -> Result<GetUserResponse, Status> {
    caller.require(Permission::AccessRead)?;
    let user = find_user(context, &request.user).await?;
    Ok(GetUserResponse {
        user: Some(shown(context, user).await?),
    })
}
