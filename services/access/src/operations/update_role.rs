//! Changes a role that is not built in.

use nexus_api::access::v1::{UpdateRoleRequest, UpdateRoleResponse};
use nexus_api::method::Permission;
use tonic::Status;

use super::create_role::{checked, over};
use super::get_role::find;
use super::{changes, check_mask, expected};
use crate::caller::Caller;
use crate::error::{About, about};
use crate::store::RoleRow;
use crate::{Context, convert, rules};

const FIELDS: &[&str] = &["description", "permissions"];

pub(crate) async fn update(
    context: &Context,
    caller: &Caller,
    request: UpdateRoleRequest,
) -> Result<UpdateRoleResponse, Status> {
    caller.require(Permission::AccessWrite)?;
    let mask = request.update_mask.as_ref();
    check_mask(mask, FIELDS)?;
    rules::text("description", &request.description)?;
    let version = expected(&request.etag)?;
    let current = find(context, &request.role).await?;
    over(caller, &current)?;
    let mut role = RoleRow {
        updated_at: (context.clock)(),
        version: version.unwrap_or(current.version),
        ..current
    };
    if changes(mask, "description", !request.description.is_empty()) {
        role.description = request.description;
    }
    if changes(mask, "permissions", !request.permissions.is_empty()) {
        role.permissions = checked(caller, request.permissions)?;
    }
    let changed = context.telling("role", &role.name).update_role(&role).await;
    Ok(UpdateRoleResponse {
        role: Some(convert::role(changed.map_err(about(About::Role(&role.name)))?)),
    })
}
