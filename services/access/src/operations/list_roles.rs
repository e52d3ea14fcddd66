//! Lists roles: those that are built in, then the others by name.

use nexus_api::access::v1::{ListRolesRequest, ListRolesResponse, Role};
use nexus_api::method::Permission;
use nexus_service::page;
use tonic::Status;

use super::cut;
use crate::caller::Caller;
use crate::error::storage;
use crate::roles::BUILT_IN;
use crate::{Context, convert, rules};

const QUERY: &str = "roles";

pub(crate) async fn list(
    context: &Context,
    caller: &Caller,
    request: ListRolesRequest,
) -> Result<ListRolesResponse, Status> {
    caller.require(Permission::AccessRead)?;
    let size = page::size(request.page_size)?;
    let after = page::key(QUERY, &request.page_token)?.unwrap_or_default();
    if !after.is_empty() {
        rules::role_name("page_token", &after)?;
    }
    // No other role has the name of one that is built in, so a name says where the page before has ended.
    let place = BUILT_IN.iter().position(|role| role.name == after);
    let (built_in, after) = match place {
        Some(place) => (&BUILT_IN[place + 1..], ""),
        None if after.is_empty() => (BUILT_IN, ""),
        None => (&[][..], after.as_str()),
    };
    let mut roles: Vec<Role> = built_in.iter().map(convert::built_in).collect();
    let others = context.store.roles(after, size + 1).await.map_err(storage)?;
    roles.extend(others.into_iter().map(convert::role));
    let next_page_token = cut(&mut roles, size, QUERY, |role| &role.name);
    Ok(ListRolesResponse { roles, next_page_token })
}
