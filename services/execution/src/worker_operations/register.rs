//! Opens and closes a worker's session.

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use nexus_api::time::duration;
use nexus_api::worker::v1::{
    DeregisterWorkerRequest, DeregisterWorkerResponse, RegisterWorkerRequest, RegisterWorkerResponse,
};
use tonic::Status;

use super::MAX_OUTPUT;
use crate::Context;
use crate::owner::{LEASE, MAX_LOG};
use crate::sessions::{self, HEARTBEAT};

const MAX_NAME: usize = 256;
const MAX_QUEUES: usize = 64;
const MAX_SLOTS: u32 = 10_000;

pub(crate) async fn register(
    context: &Context,
    request: RegisterWorkerRequest,
) -> Result<RegisterWorkerResponse, Status> {
    if request.slots == 0 || request.slots > MAX_SLOTS {
        return Err(ApiError::field("slots", format!("must be 1 to {MAX_SLOTS}, it is {}", request.slots)).into());
    }
    if request.name.len() > MAX_NAME {
        return Err(ApiError::field("name", format!("has more than {MAX_NAME} bytes")).into());
    }
    let unfit = |queue: &String| queue.is_empty() || queue.len() > MAX_NAME;
    if request.queues.len() > MAX_QUEUES || request.queues.iter().any(unfit) {
        return Err(ApiError::field("queues", format!("at most {MAX_QUEUES} names of 1 to {MAX_NAME} bytes")).into());
    }
    let (name, queues) = (request.name.clone(), request.queues.clone());
    let resumed = !request.resume_session.is_empty();
    let session = context.sessions.register(request, &context.ids).ok_or_else(|| {
        ApiError::new(ErrorReason::Overloaded, "too many workers are registered")
            .retry_after(std::time::Duration::from_secs(10))
    })?;
    if resumed {
        context
            .router
            .peers()
            .close_session(&session, "the worker is here now", true);
        context.owner.session_lives(session.clone()).await;
    }
    tracing::info!(worker = name, ?queues, resumed, "a worker registered");
    let heartbeat = i64::try_from(HEARTBEAT.as_micros()).unwrap_or(i64::MAX);
    Ok(RegisterWorkerResponse {
        session,
        heartbeat_interval: Some(duration(heartbeat)),
        lease_duration: Some(duration(LEASE)),
        max_output_bytes: u32::try_from(MAX_OUTPUT).unwrap_or(u32::MAX),
        max_log_bytes: u32::try_from(MAX_LOG).unwrap_or(u32::MAX),
    })
}

pub(crate) async fn deregister(
    context: &Context,
    request: DeregisterWorkerRequest,
) -> Result<DeregisterWorkerResponse, Status> {
    // Ending a session twice is no error.
    if context.sessions.close(&request.session) {
        sessions::over(context, request.session, "the worker ended without finishing it").await;
    }
    Ok(DeregisterWorkerResponse {})
}
