//! Extends leases, and tells the worker which attempts to stop.

use std::time::Duration;

use futures::future::join_all;
use nexus_api::shard::v1::ExtendLeasesRequest;
use nexus_api::worker::v1::{Directive, HeartbeatTasksRequest, HeartbeatTasksResponse};
use nexus_execution_owner::Verdict;
use nexus_execution_store::{LeaseToken, SessionId, shard_of_token};
use nexus_failpoint::kill_here;
use tonic::Status;

use super::{session, split};
use crate::Context;
use crate::replication::{Peer, request};
use nexus_execution_sessions::directive;
use nexus_execution_sessions::speaker::Speaker;

/// How long another replica may take; the next heartbeat comes in three seconds.
const CALL: Duration = Duration::from_secs(2);

pub(crate) async fn heartbeat(
    context: &Context,
    speaker: &Speaker,
    request: HeartbeatTasksRequest,
) -> Result<HeartbeatTasksResponse, Status> {
    if request.tokens.len() > 10_000 {
        let error = nexus_api::error::ApiError::field("tokens", "at most 10,000 are taken");
        return Err(error.into());
    }
    let session = session(context, speaker, &request.session)?;
    let (mine, theirs) = split(context, request.tokens, |token| shard_of_token(token));
    let asked = theirs.into_iter().map(|(peer, tokens)| {
        let extend = ExtendLeasesRequest {
            session: session.session.to_string(),
            tokens,
            generation: session.generation,
        };
        ask(peer, extend)
    });
    let (mut directives, others) = tokio::join!(
        local(
            context,
            &session.session,
            session.generation,
            mine.into_iter().map(LeaseToken::from).collect()
        ),
        join_all(asked)
    );
    kill_here("execution::heartbeat");
    directives.extend(others.into_iter().flatten());
    Ok(HeartbeatTasksResponse {
        directives,
        drain: context.leaving.is_cancelled(),
        leaving: request.leaving,
        sequence: request.sequence,
    })
}

/// Extends leases that this replica can speak for.
pub(crate) async fn local(
    context: &Context,
    session: &SessionId,
    generation: u64,
    tokens: Vec<LeaseToken>,
) -> Vec<Directive> {
    if tokens.is_empty() {
        return Vec::new();
    }
    // An owner that cannot answer says nothing: the worker asks again before its leases are over.
    let asked = context.owner.heartbeat(session.clone(), generation, tokens.clone());
    let verdicts = asked.await;
    let verdicts = verdicts.unwrap_or_default();
    let known = tokens
        .iter()
        .zip(&verdicts)
        .filter(|(_, verdict)| **verdict != Verdict::Unknown);
    known.map(|(token, verdict)| directive(token, verdict)).collect()
}

async fn ask(peer: Peer, extend: ExtendLeasesRequest) -> Vec<Directive> {
    match peer.client().extend_leases(request(extend, CALL)).await {
        Ok(answer) => answer.into_inner().directives,
        Err(error) => {
            tracing::warn!(peer = %peer.address, error = %error.message(), "leases could not be extended at another replica");
            Vec::new()
        }
    }
}
