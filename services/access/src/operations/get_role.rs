//! Reads one role.

use nexus_api::access::v1::{GetRoleRequest, GetRoleResponse};
use nexus_api::method::Permission;
use tonic::Status;

use crate::caller::Caller;
use crate::error::{About, built_in, not_found, storage};
use crate::store::RoleRow;
use crate::{Context, convert, roles, rules};

pub(crate) async fn get(
    context: &Context,
    caller: &Caller,
    request: GetRoleRequest,
) -> Result<GetRoleResponse, Status> {
    caller.require(Permission::AccessRead)?;
    let role = match roles::built_in(&request.role) {
        Some(role) => convert::built_in(role),
        None => convert::role(find(context, &request.role).await?),
    };
    Ok(GetRoleResponse { role: Some(role) })
}

/// A role that is not built in.
pub(super) async fn find(context: &Context, name: &str) -> Result<RoleRow, Status> {
    rules::role_name("role", name)?;
    if roles::built_in(name).is_some() {
        return Err(built_in(name).into());
    }
    let mut found = context.store.roles_named(&[name.to_owned()]).await.map_err(storage)?;
    found.pop().ok_or_else(|| not_found(About::Role(name)).into())
}
