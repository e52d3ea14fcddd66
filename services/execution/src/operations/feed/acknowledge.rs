//! Notes what a reader needs no more.

use nexus_api::feed::v1::{AcknowledgeFeedRequest, AcknowledgeFeedResponse};
use nexus_execution_store::feed::Acknowledged;
use tonic::Status;

use super::{ahead, name, positions, unknown};
use crate::Context;
use crate::error::status;

pub(crate) async fn acknowledge(
    context: &Context,
    request: AcknowledgeFeedRequest,
) -> Result<AcknowledgeFeedResponse, Status> {
    let name = name(&request.reader)?;
    let positions = positions("positions", &request.positions)?;
    let now = (context.clock)();
    let acknowledged = context.feed.acknowledge(name, &positions, now).await;
    match acknowledged.map_err(status)? {
        Acknowledged::Done => Ok(AcknowledgeFeedResponse {}),
        Acknowledged::Unknown => Err(unknown(name)),
        Acknowledged::Ahead(extent) => {
            let asked = positions.into_iter().find(|position| position.shard == extent.shard);
            Err(ahead(asked, extent))
        }
    }
}
