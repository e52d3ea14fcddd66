//! Lists users by name.

use nexus_api::access::v1::{ListUsersRequest, ListUsersResponse};
use nexus_api::method::Permission;
use nexus_service::page;
use tonic::Status;

use super::cut;
use crate::caller::Caller;
use crate::error::storage;
use crate::{Context, convert, rules};

const QUERY: &str = "users";

pub(crate) async fn list(
    context: &Context,
    caller: &Caller,
    request: ListUsersRequest,
) -> Result<ListUsersResponse, Status> {
    caller.require(Permission::AccessRead)?;
    let size = page::size(request.page_size)?;
    let after = page::key(QUERY, &request.page_token)?.unwrap_or_default();
    if !after.is_empty() {
        rules::user_name("page_token", &after)?;
    }
    let mut rows = context.store.users(&after, size + 1).await.map_err(storage)?;
    let next_page_token = cut(&mut rows, size, QUERY, |user| &user.name);
    // Who is locked out at this moment is told of one user: a page would be as many questions.
    let users = rows.into_iter().map(|user| convert::user(user, None)).collect();
    Ok(ListUsersResponse { users, next_page_token })
}
