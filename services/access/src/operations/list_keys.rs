//! Lists API keys, the newest first.

use nexus_api::access::v1::{ListApiKeysRequest, ListApiKeysResponse};
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
    request: ListApiKeysRequest,
) -> Result<ListApiKeysResponse, Status> {
    let size = page::size(request.page_size)?;
    let user = whose(caller, &request.user)?;
    let query = format!("keys|{}|{}", user.as_deref().unwrap_or("*"), request.show_ended);
    let wanted = Wanted {
        user,
        alive_at: (!request.show_ended).then(|| (context.clock)()),
        before: id_of_page(&query, &request.page_token)?,
    };
    let mut rows = context.store.keys(&wanted, size + 1).await.map_err(storage)?;
    let next_page_token = cut(&mut rows, size, &query, |key| &key.id);
    Ok(ListApiKeysResponse {
        api_keys: rows.into_iter().map(convert::key).collect(),
        next_page_token,
    })
}
