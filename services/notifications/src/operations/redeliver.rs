//! Sends a message again, under its own id.

use nexus_api::notifications::v1::Delivery;
use tonic::Status;

use super::{Call, Context, deliveries};
use crate::error::storage;

pub(crate) async fn redeliver(context: &Context, call: &Call, id: &str) -> Result<Delivery, Status> {
    let telling = context.telling(call, "delivery", id, "");
    // One that is being sent, or that there is none of, is told as it is.
    if telling.redeliver(&call.namespace, id).await.map_err(storage)? {
        context.made.notify_one();
    }
    deliveries::get(context, call, id).await
}
