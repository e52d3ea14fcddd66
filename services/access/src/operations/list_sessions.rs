//! Lists sessions, the newest first.

use nexus_api::access::v1::{ListSessionsRequest, ListSessionsResponse};
use nexus_service::page;
use tonic::Status;

use super::{cut, id_of_page, whose};
use crate::caller::Caller;
use crate::error::storage;
use crate::store::Wanted;
use crate::{Context, convert};

pub(crate) async fn list(
    context: &Context,
    caller: &Caller,
    request: ListSessionsRequest,
) -> Result<ListSessionsResponse, Status> {
    let size = page::size(request.page_size)?;
    let user = whose(caller, &request.user)?;
    let query = format!("sessions|{}", user.as_deref().unwrap_or("*"));
    let wanted = Wanted {
        user,
        alive_at: Some((context.clock)()),
        before: id_of_page(&query, &request.page_token)?,
    };
    let mut rows = context.store.sessions(&wanted, size + 1).await.map_err(storage)?;
    let next_page_token = cut(&mut rows, size, &query, |session| &session.id);
    Ok(ListSessionsResponse {
        sessions: rows.into_iter().map(convert::session).collect(),
        next_page_token,
    })
}
