//! Waits until an execution is terminal.

use std::time::Duration;

use nexus_api::Namespace;
use nexus_api::error::ApiError;
use nexus_api::execution::v1::{WaitExecutionRequest, WaitExecutionResponse};
use nexus_api::time::duration_micros;
use nexus_engine::ExecutionState;
use nexus_execution_owner::OwnerError;
use tonic::Status;

use super::get;
use crate::Context;
use crate::error::{execution_not_found, status};

const DEFAULT_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

pub(crate) async fn wait(
    context: &Context,
    namespace: &Namespace,
    request: WaitExecutionRequest,
) -> Result<WaitExecutionResponse, Status> {
    let wait = match &request.timeout {
        None => DEFAULT_WAIT,
        Some(wished) => match u64::try_from(duration_micros(wished)) {
            Ok(micros) => Duration::from_micros(micros).min(LONGEST_WAIT),
            Err(_) => return Err(ApiError::field("timeout", "must not be negative").into()),
        },
    };
    let deadline = tokio::time::Instant::now() + wait;
    let id = super::resolve(context, namespace, &request.execution).await?;
    // Watching begins before looking, so the end cannot come unseen in between.
    let mut stored = context.events.watch(id);
    let mut ends = None;
    loop {
        let seen = stored.borrow_and_update().ends;
        // Its steps are no reason to look; only what may be its end is.
        let state = if ends == Some(seen) {
            None
        } else {
            let state = context.reads.execution_state(namespace, id).await.map_err(status)?;
            Some(state.ok_or_else(|| execution_not_found(&request.execution))?)
        };
        ends = Some(seen);
        let done = state.is_some_and(ExecutionState::is_terminal);
        let over = tokio::time::timeout_at(deadline, async {
            if !done {
                // The sender lives as long as the watched execution can change; without it only the wait is left.
                if stored.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        });
        let over = tokio::select! {
            over = over => over.is_err(),
            () = super::look_again(context) => {
                ends = None;
                tokio::time::Instant::now() >= deadline
            }
            () = context.leaving.cancelled() => return Err(status(OwnerError::ShuttingDown)),
        };
        if done || over {
            let (row, execution) = get::by_id(context, namespace, id).await?;
            return Ok(WaitExecutionResponse {
                execution: Some(execution),
                done: row.state.is_terminal(),
            });
        }
    }
}
