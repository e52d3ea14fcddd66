//! Opens and closes a worker's session.

use std::net::IpAddr;

use nexus_api::error::ApiError;
use nexus_api::shard::v1::CloseSessionRequest;
use nexus_api::time::duration;
use nexus_api::worker::v1::{
    DeregisterWorkerRequest, DeregisterWorkerResponse, ReceivedLeases, RegisterWorkerRequest, RegisterWorkerResponse,
};
use nexus_api::{ErrorReason, Namespace};
use nexus_execution_owner::{LEASE, MAX_LOG};
use nexus_execution_store::SessionId;
use nexus_execution_store::membership::in_time;
use tonic::Status;

use super::{MAX_OUTPUT, unknown};
use crate::error::status;
use crate::{Context, ending};
use nexus_execution_sessions::speaker::Speaker;
use nexus_execution_sessions::{self as sessions, HEARTBEAT};

/// How long the store may take to number a session.
const CALL: std::time::Duration = std::time::Duration::from_secs(2);

const MAX_NAME: usize = 256;
const MAX_QUEUES: usize = 64;
const MAX_LABELS: usize = 64;
/// Most slots of one worker.
pub(super) const MAX_SLOTS: u32 = 10_000;
const MAX_TOKENS: usize = 10_000;

pub(crate) async fn register(
    context: &Context,
    speaker: &Speaker,
    mut request: RegisterWorkerRequest,
    peer: Option<IpAddr>,
) -> Result<RegisterWorkerResponse, Status> {
    let namespace = speaker.namespace();
    check(namespace, &request)?;
    if request.queues.is_empty() {
        request.queues.push("default".to_owned());
    }
    let qualified = request.queues.iter().map(|queue| namespace.qualify(queue).into_owned());
    speaker.require(&qualified.collect::<Vec<_>>())?;
    let (name, queues) = (request.name.clone(), request.queues.clone());
    let (runtime, labels) = (request.runtime.clone(), request.labels.clone());
    let resumed = sessions::resumed(&request);
    if resumed
        .as_ref()
        .is_some_and(|session| context.sessions.is_of_another(speaker, session))
    {
        return Err(unknown());
    }
    let generation = match &resumed {
        Some(session) => next_generation(context, session, request.resume_number).await?,
        None => 0,
    };
    let received = request.received.clone();
    let opened = context
        .sessions
        .register(speaker, request, generation, peer, &context.ids);
    let session = opened.map_err(|full| {
        ApiError::new(ErrorReason::Overloaded, format!("{full}; repeat the call in 10 s"))
            .retry_after(std::time::Duration::from_secs(10))
    })?;
    if resumed.is_some() {
        goes_on(context, &session, generation, received).await;
    }
    tracing::info!(
        %namespace,
        worker = name,
        ?queues,
        runtime,
        ?labels,
        resumed = resumed.is_some(),
        "a worker registered"
    );
    let heartbeat = i64::try_from(HEARTBEAT.as_micros()).unwrap_or(i64::MAX);
    Ok(RegisterWorkerResponse {
        session: String::from(session),
        heartbeat_interval: Some(duration(heartbeat)),
        lease_duration: Some(duration(LEASE)),
        max_output_bytes: u32::try_from(MAX_OUTPUT).unwrap_or(u32::MAX),
        max_log_bytes: u32::try_from(MAX_LOG).unwrap_or(u32::MAX),
        namespace: namespace.to_string(),
    })
}

/// Everything that a registration says has bounds.
fn check(namespace: &Namespace, request: &RegisterWorkerRequest) -> Result<(), ApiError> {
    if request.slots == 0 || request.slots > MAX_SLOTS {
        return Err(ApiError::field(
            "slots",
            format!("must be 1 to {MAX_SLOTS}, it is {}", request.slots),
        ));
    }
    if request.name.len() > MAX_NAME {
        return Err(ApiError::field("name", format!("has more than {MAX_NAME} bytes")));
    }
    let unfit = |queue: &String| queue.is_empty() || queue.len() > MAX_NAME;
    if request.queues.len() > MAX_QUEUES || request.queues.iter().any(unfit) {
        return Err(ApiError::field(
            "queues",
            format!("at most {MAX_QUEUES} names of 1 to {MAX_NAME} bytes"),
        ));
    }
    // With the namespace before it a queue's name must be no other queue's.
    if request.queues.iter().any(|queue| namespace.find(queue).is_none()) {
        return Err(ApiError::field("queues", "a queue has no / in its name"));
    }
    if request.runtime.len() > MAX_NAME {
        return Err(ApiError::field("runtime", format!("has more than {MAX_NAME} bytes")));
    }
    let unfit = |(key, value): (&String, &String)| key.is_empty() || key.len() + value.len() > MAX_NAME;
    if request.labels.len() > MAX_LABELS || request.labels.iter().any(unfit) {
        let most = format!("at most {MAX_LABELS} of up to {MAX_NAME} bytes each are taken");
        return Err(ApiError::field("labels", most));
    }
    if let Some(received) = &request.received {
        if request.resume_number == 0 {
            return Err(ApiError::field("resume_number", "is needed beside `received`"));
        }
        if received.tokens.len() > MAX_TOKENS {
            return Err(ApiError::field(
                "received.tokens",
                format!("at most {MAX_TOKENS} are taken"),
            ));
        }
    }
    Ok(())
}

pub(crate) async fn deregister(
    context: &Context,
    speaker: &Speaker,
    request: DeregisterWorkerRequest,
) -> Result<DeregisterWorkerResponse, Status> {
    // Ending a session twice is no error, and one of somebody else is none here.
    let session = SessionId::from(request.session);
    let own = !context.sessions.is_of_another(speaker, &session);
    if let Some(closing) = own.then(|| context.sessions.close(&session)).flatten() {
        let reason = "the worker ended without finishing it";
        let over = ending::left(context.clone(), closing, reason, request.received);
        // Goes on when the worker does not wait for it.
        drop(tokio::spawn(over).await);
    }
    Ok(DeregisterWorkerResponse {})
}

/// A session goes on here: everybody may know, and what its worker says that it has received.
async fn goes_on(context: &Context, session: &SessionId, generation: u64, received: Option<ReceivedLeases>) {
    context.router.peers().tell_of_session(CloseSessionRequest {
        session: session.to_string(),
        generation,
        reason: "the worker is here now".to_owned(),
        moved: true,
        received: received.clone(),
    });
    let received = received.map(ending::tokens);
    context.owner.session_lives(session.clone(), generation, received).await;
}

/// The generation in which a session goes on here. Its number proves that this is the newest word on the session.
async fn next_generation(context: &Context, session: &SessionId, resumption: u64) -> Result<u64, Status> {
    let next = match &context.membership {
        Some(membership) => {
            let question = membership.resume_session(session, resumption);
            in_time(membership.as_ref(), CALL, question).await.map_err(status)?
        }
        None => context.sessions.next_generation(session, resumption),
    };
    let overtaken = "a later call of this worker to go on with its session has come before this one";
    next.ok_or_else(|| ApiError::new(ErrorReason::SessionMoved, overtaken).into())
}
