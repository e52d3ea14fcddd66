//! The end of workers' sessions at this replica. It may have been away, frozen or cut off, while a worker went on at
//! another replica; so it asks which generation is the newest before it says that a session is over.

use std::sync::Arc;
use std::time::Duration;

use nexus_api::shard::v1::CloseSessionRequest;
use nexus_api::worker::v1::ReceivedLeases;
use nexus_execution_owner::{LEASE, Received};
use nexus_execution_store::membership::{Membership, in_time};
use nexus_execution_store::{LeaseToken, SessionId, StoreError};
use tokio::time::{Instant, sleep};

use crate::Context;
use nexus_execution_sessions::{Closing, HEARTBEAT};

/// How long one question to the store may take, and the wait before it is asked again.
const CALL: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(250);

/// Sessions have ended here. Those that did not go on at another replica are over: what they held is given out again, here
/// and at the other replicas.
pub(crate) async fn over(context: Context, closed: Vec<Closing>, reason: &'static str) {
    for closing in newest(&context, closed).await {
        end(&context, closing, reason, None).await;
    }
}

/// A worker has ended its session in order and said what it has received. A lease that was on its way to it never comes, so
/// it has not begun.
pub(crate) async fn left(context: Context, closing: Closing, reason: &'static str, received: Option<ReceivedLeases>) {
    for Closing { session, generation } in newest(&context, vec![closing]).await {
        // The end comes after the last stay: what was given out during that will not come either.
        let generation = generation + u64::from(received.is_some());
        let closing = Closing { session, generation };
        end(&context, closing, reason, received.clone()).await;
    }
}

async fn end(context: &Context, closing: Closing, reason: &str, received: Option<ReceivedLeases>) {
    let Closing { session, generation } = closing;
    let request = CloseSessionRequest {
        session: String::from(session),
        generation,
        reason: reason.to_owned(),
        received,
        moved: false,
    };
    context.router.peers().tell_of_session(request.clone());
    closed(context, request).await;
}

/// Has the owner of this replica know that a session is over.
pub(crate) async fn closed(context: &Context, closed: CloseSessionRequest) {
    let CloseSessionRequest {
        session,
        generation,
        reason,
        received,
        moved: _,
    } = closed;
    let session = SessionId::from(session);
    if let Some(received) = received.map(tokens) {
        context
            .owner
            .session_lives(session.clone(), generation, Some(received))
            .await;
    }
    context.owner.session_closed(session, generation, reason).await;
}

/// What a worker says that has reached it.
pub(crate) fn tokens(received: ReceivedLeases) -> Received {
    Arc::new(received.tokens.into_iter().map(LeaseToken::from).collect())
}

/// Those of which no later generation is known. None while the store cannot be asked: their leases end by themselves, and
/// nobody else could be given them meanwhile.
async fn newest(context: &Context, closed: Vec<Closing>) -> Vec<Closing> {
    let Some(membership) = &context.membership else {
        return closed;
    };
    let sessions: Vec<SessionId> = closed.iter().map(|closing| closing.session.clone()).collect();
    let known = match generations(membership.as_ref(), &sessions).await {
        Ok(known) => known,
        Err(error) => {
            tracing::warn!(%error, "it cannot be asked where workers went on; what they held is given out when their leases end");
            return Vec::new();
        }
    };
    let is_newest = |closing: &Closing| {
        let later = known
            .iter()
            .any(|(session, generation)| *session == closing.session && *generation > closing.generation);
        if later {
            tracing::info!("a worker has gone on at another replica");
        }
        !later
    };
    closed.into_iter().filter(is_newest).collect()
}

async fn generations(membership: &dyn Membership, sessions: &[SessionId]) -> Result<Vec<(SessionId, u64)>, StoreError> {
    let lease = Duration::from_micros(u64::try_from(LEASE).unwrap_or_default());
    let until = Instant::now() + lease;
    loop {
        match in_time(membership, CALL, membership.session_generations(sessions)).await {
            Ok(known) => return Ok(known),
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => sleep(AGAIN).await,
        }
    }
}

/// Closes the sessions of workers that are not heard of any more, until the shutdown.
pub(crate) async fn sweep(context: Context) {
    loop {
        tokio::select! {
            () = sleep(HEARTBEAT) => {}
            () = context.shutdown.cancelled() => return,
        }
        let silent = context.sessions.silent();
        let closed: Vec<Closing> = silent.iter().filter_map(|id| context.sessions.close(id)).collect();
        if !closed.is_empty() {
            tracing::warn!(workers = closed.len(), "workers have stopped sending heartbeats");
            // The database may have to be waited for.
            tokio::spawn(over(
                context.clone(),
                closed,
                "the worker has stopped sending heartbeats",
            ));
        }
    }
}
