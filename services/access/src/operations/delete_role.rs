//! Deletes a role that is not built in and that nobody has.

use nexus_api::access::v1::{DeleteRoleRequest, DeleteRoleResponse};
use nexus_api::method::Permission;
use tonic::Status;

use super::create_role::over;
use super::expected;
use super::get_role::find;
use crate::Context;
use crate::caller::Caller;
use crate::error::{About, about};

pub(crate) async fn delete(
    context: &Context,
    caller: &Caller,
    request: DeleteRoleRequest,
) -> Result<DeleteRoleResponse, Status> {
    caller.require(Permission::AccessWrite)?;
    let version = expected(&request.etag)?;
    let role = find(context, &request.role).await?;
    over(caller, &role)?;
    let deleted = context
        .telling("role", &role.name)
        .delete_role(&role.name, version, (context.clock)())
        .await;
    deleted.map_err(about(About::Role(&role.name)))?;
    Ok(DeleteRoleResponse {})
}
