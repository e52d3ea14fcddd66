//! What workers can ask: one file a verb.

pub(crate) mod heartbeat;
pub(crate) mod lease;
pub(crate) mod logs;
pub(crate) mod poll;
pub(crate) mod register;
pub(crate) mod report;
pub(crate) mod stream;

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use tonic::Status;

use crate::Context;
use crate::owner::SessionRef;

/// Output of one task in bytes at most.
pub(crate) const MAX_OUTPUT: usize = 1 << 20;
/// Items of one request at most.
const MAX_ITEMS: usize = 1_000;

/// A worker's session, or the error that makes it register again.
fn session(context: &Context, id: &str) -> Result<SessionRef, Status> {
    context.sessions.touch(id).ok_or_else(|| {
        let message = "this session is not open (any more); register the worker again";
        ApiError::new(ErrorReason::WorkerUnknown, message).into()
    })
}

fn at_most(field: &str, items: usize) -> Result<(), Status> {
    if items > MAX_ITEMS {
        return Err(ApiError::field(field, format!("has {items} items, at most {MAX_ITEMS} are taken")).into());
    }
    Ok(())
}
