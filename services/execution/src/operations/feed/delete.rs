//! Forgets a reader.

use nexus_api::feed::v1::{DeleteReaderRequest, DeleteReaderResponse};
use tonic::Status;

use super::name;
use crate::Context;
use crate::error::status;

pub(crate) async fn delete(context: &Context, request: DeleteReaderRequest) -> Result<DeleteReaderResponse, Status> {
    let name = name(&request.reader)?;
    let deleted = context.feed.forget(name).await.map_err(status)?;
    Ok(DeleteReaderResponse { deleted })
}
