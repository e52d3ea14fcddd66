//! Creates a role.

use nexus_api::ErrorReason;
use nexus_api::access::v1::{CreateRoleRequest, CreateRoleResponse};
use nexus_api::error::ApiError;
use nexus_api::method::Permission;
use tonic::Status;

use crate::caller::Caller;
use crate::error::{About, about};
use crate::powers::Powers;
use crate::store::RoleRow;
use crate::{Context, convert, roles, rules};

pub(crate) async fn create(
    context: &Context,
    caller: &Caller,
    request: CreateRoleRequest,
) -> Result<CreateRoleResponse, Status> {
    caller.require(Permission::AccessWrite)?;
    rules::role_name("name", &request.name)?;
    rules::text("description", &request.description)?;
    let permissions = checked(caller, request.permissions)?;
    if roles::built_in(&request.name).is_some() {
        let message = format!("the role {} is built in; choose another name", request.name);
        return Err(ApiError::new(ErrorReason::RoleExists, message).into());
    }
    let now = (context.clock)();
    let role = RoleRow {
        name: request.name,
        description: request.description,
        permissions,
        created_at: now,
        updated_at: now,
        version: 0,
    };
    let created = context.telling("role", &role.name).create_role(&role).await;
    Ok(CreateRoleResponse {
        role: Some(convert::role(created.map_err(about(About::Role(&role.name)))?)),
    })
}

/// Whoever changes a role has all that it gives: those who have it may be more powerful than who changes it.
pub(super) fn over(caller: &Caller, role: &RoleRow) -> Result<(), ApiError> {
    let powers = Powers::everywhere(role.permissions.iter().filter_map(|name| roles::grantable(name)));
    let why = format!(
        "the role {} gives it, and only who has all that it gives may change it",
        role.name
    );
    caller.require_all_of(&powers, &why)
}

/// The permissions of a role, each once. Whoever gets the role may get it in any namespace, so the caller has to have them in
/// all.
pub(super) fn checked(caller: &Caller, mut names: Vec<String>) -> Result<Vec<String>, ApiError> {
    rules::permissions(&names)?;
    names.sort_unstable();
    names.dedup();
    let powers = Powers::everywhere(names.iter().filter_map(|name| roles::grantable(name)));
    caller.require_all_of(&powers, "nobody puts into a role what they have not in every namespace")?;
    Ok(names)
}
