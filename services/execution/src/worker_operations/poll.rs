//! Waits for tasks and leases them.

use std::time::Duration;

use nexus_api::error::ApiError;
use nexus_api::time::duration_micros;
use nexus_api::worker::v1::{PollTasksRequest, PollTasksResponse};
use tokio::time::Instant;
use tonic::Status;

use super::{lease, session};
use crate::Context;
use nexus_execution_sessions::speaker::Speaker;

const DEFAULT_WAIT: Duration = Duration::from_secs(20);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Tasks of one answer at most.
pub(super) const MAX_TASKS: u32 = 100;
/// A wait is cut into pieces, each of which counts as a sign of life.
const PIECE: Duration = Duration::from_secs(5);

pub(crate) async fn poll(
    context: &Context,
    speaker: &Speaker,
    request: PollTasksRequest,
) -> Result<PollTasksResponse, Status> {
    if request.max_tasks == 0 {
        return Err(ApiError::field("max_tasks", "must be at least 1").into());
    }
    let wait = request.wait.as_ref().map_or(DEFAULT_WAIT, |wished| {
        Duration::from_micros(u64::try_from(duration_micros(wished)).unwrap_or(0)).min(LONGEST_WAIT)
    });
    let deadline = Instant::now() + wait;
    let max = request.max_tasks.min(MAX_TASKS) as usize;
    loop {
        let session = session(context, speaker, &request.session)?;
        let left = deadline.saturating_duration_since(Instant::now()).min(PIECE);
        let taken = tokio::select! {
            taken = context.dispatch.take(&session.queues, max, left) => taken,
            () = context.leaving.cancelled() => return Ok(PollTasksResponse { tasks: Vec::new(), drain: true }),
        };
        let taken = taken.map_err(|error| {
            tracing::warn!(%error, "tasks cannot be taken");
            Status::unavailable(error.to_string())
        })?;
        let tasks = lease::lease(context, taken, &session).await?;
        if !tasks.is_empty() || Instant::now() >= deadline {
            return Ok(PollTasksResponse { tasks, drain: false });
        }
    }
}
