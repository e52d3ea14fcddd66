//! Cancels an execution.

use nexus_api::Namespace;
use nexus_api::error::ApiError;
use nexus_api::execution::v1::{CancelExecutionRequest, CancelExecutionResponse};
use nexus_api::shard::v1::EndExecutionRequest;
use nexus_audit::{Object, Origin, canonical};
use nexus_execution_owner::OwnerError;
use nexus_execution_store::ExecutionId;
use nexus_failpoint::kill_here;
use tonic::Status;

use super::start::note;
use super::{CALL, find, get, unless_stuck};
use crate::Context;
use crate::replication::{Place, is_not_owner, request};

/// Bytes of a reason at most.
const MAX_REASON: usize = 1_024;

pub(crate) async fn cancel(
    context: &Context,
    namespace: &Namespace,
    origin: &Origin,
    request: CancelExecutionRequest,
) -> Result<CancelExecutionResponse, Status> {
    if request.reason.len() > MAX_REASON {
        return Err(ApiError::field("reason", format!("has more than {MAX_REASON} bytes")).into());
    }
    if request.reason.contains('\0') {
        return Err(ApiError::field("reason", "holds a NUL character").into());
    }
    let row = find(context, namespace, &request.execution).await?;
    if !row.state.is_terminal() {
        let entry = origin.entry(Object::new("execution", &row.id.to_string()), "");
        let audit = entry.map(|entry| canonical::encode(&entry)).unwrap_or_default();
        routed(context, row.id, &request.reason, &audit).await?;
    }
    kill_here("execution::cancel::committed");
    let row = find(context, namespace, &request.execution).await?;
    Ok(CancelExecutionResponse {
        execution: Some(get::shown(context, &row).await?),
    })
}

/// Cancels at whichever replica owns the execution.
async fn routed(context: &Context, id: ExecutionId, reason: &str, audit: &[u8]) -> Result<(), Status> {
    let mut route = context.router.route(id.shard());
    loop {
        let cancelled = match route.next().await? {
            Place::Local(_) => local(context, id, reason.to_owned(), audit).await,
            Place::Remote(peer) => {
                let end = EndExecutionRequest {
                    id: id.bytes().to_vec(),
                    reason: reason.to_owned(),
                    audit: audit.to_vec(),
                };
                let mut client = peer.client();
                let call = client.end_execution(request(end, CALL));
                context.router.ask(id.shard(), &peer, call).await.map(drop)
            }
        };
        match cancelled {
            Err(status) if is_not_owner(&status) => {}
            other => return other,
        }
    }
}

/// Cancels an execution whose shard this replica owns.
pub(crate) async fn local(context: &Context, id: ExecutionId, reason: String, audit: &[u8]) -> Result<(), Status> {
    let note = note(audit)?;
    let cancelling = async {
        match context.owner.cancel(id, reason, note).await {
            // One that has ended already is answered as it is: cancelling is idempotent.
            Ok(()) | Err(OwnerError::NotLive(_)) => Ok(()),
            Err(error) => Err(error),
        }
    };
    unless_stuck(context, cancelling).await
}
