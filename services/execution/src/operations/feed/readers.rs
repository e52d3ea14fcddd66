//! Shows readers: one, or a page of all.

use nexus_api::feed::v1::{GetReaderRequest, GetReaderResponse, ListReadersRequest, ListReadersResponse};
use nexus_service::page;
use tonic::Status;

use super::{find, name, shown};
use crate::Context;
use crate::error::status;

pub(crate) async fn get(context: &Context, request: GetReaderRequest) -> Result<GetReaderResponse, Status> {
    let reader = find(context, name(&request.reader)?).await?;
    Ok(GetReaderResponse {
        reader: Some(shown(reader, (context.clock)())),
    })
}

pub(crate) async fn list(context: &Context, request: ListReadersRequest) -> Result<ListReadersResponse, Status> {
    let size = page::size(request.page_size)?;
    let after = page::key("readers", &request.page_token)?.unwrap_or_default();
    let mut readers = context.feed.readers(&after, size + 1).await.map_err(status)?;
    let mut next_page_token = String::new();
    if readers.len() > size as usize {
        readers.truncate(size as usize);
        let last = readers.last().map(|last| page::token("readers", &last.name));
        next_page_token = last.unwrap_or_default();
    }
    let now = (context.clock)();
    Ok(ListReadersResponse {
        readers: readers.into_iter().map(|reader| shown(reader, now)).collect(),
        next_page_token,
    })
}
