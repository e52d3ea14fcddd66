//! What other replicas can ask: each call is decided here or refused with NOT_OWNER, never passed on, so that none goes
//! in circles.

use std::sync::Arc;

use nexus_api::error::ApiError;
use nexus_api::shard::v1 as api;
use nexus_execution_owner::SessionRef;
use nexus_execution_store::{ExecutionId, LeaseToken, SessionId};
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use uuid::Uuid;

use crate::operations::{cancel, start};
use crate::replication::{self, not_owner, words};
use crate::worker_operations::{heartbeat, lease, logs, report};
use crate::{Context, ending};

/// Changes that wait for a slow replica at most, and changes of one message.
const WAITING: usize = 16;
const BATCH: usize = 1_000;

/// The messages of a feed of changes.
pub(crate) type Changes = ReceiverStream<Result<api::WatchChangesResponse, Status>>;

pub(crate) async fn begin(
    context: &Context,
    request: api::BeginExecutionRequest,
) -> Result<api::BeginExecutionResponse, Status> {
    let id = execution_id(&request.id)?;
    let stay = context.owner.stays().stay(id.shard());
    if stay == 0 {
        return Err(not_owner(id.shard()));
    }
    let started = start::local(context, id, stay, &request).await?;
    Ok(api::BeginExecutionResponse {
        id: started.id.bytes().to_vec(),
        existing: started.existing,
        execution: started.execution,
        free_queue: started.free_queue,
    })
}

pub(crate) async fn end(
    context: &Context,
    request: api::EndExecutionRequest,
) -> Result<api::EndExecutionResponse, Status> {
    let id = execution_id(&request.id)?;
    cancel::local(context, id, request.reason, &request.audit).await?;
    Ok(api::EndExecutionResponse {})
}

pub(crate) async fn grant(
    context: &Context,
    request: api::GrantLeasesRequest,
) -> Result<api::GrantLeasesResponse, Status> {
    let session = session(request.session)?;
    if let Ok(replica) = Uuid::from_slice(&request.replica) {
        let now = Instant::now();
        session
            .queues
            .iter()
            .for_each(|queue| context.idle.is_free(queue, replica, now));
    }
    let pointers = request.pointers.iter().filter_map(words::pointer_from).collect();
    let (tasks, foreign) = lease::local(context, pointers, &session).await?;
    Ok(api::GrantLeasesResponse {
        tasks,
        strangers: foreign.iter().map(words::pointer).collect(),
    })
}

pub(crate) async fn report(
    context: &Context,
    request: api::ReportLeasesRequest,
) -> Result<api::ReportLeasesResponse, Status> {
    let session = session(request.session)?;
    let (results, tasks) = report::local(context, request.reports, &session, request.free_slots).await?;
    Ok(api::ReportLeasesResponse {
        results: results.into_iter().map(Option::unwrap_or_default).collect(),
        tasks,
    })
}

pub(crate) async fn extend(context: &Context, request: api::ExtendLeasesRequest) -> api::ExtendLeasesResponse {
    let api::ExtendLeasesRequest {
        session,
        tokens,
        generation,
    } = request;
    let tokens = tokens.into_iter().map(LeaseToken::from).collect();
    api::ExtendLeasesResponse {
        directives: heartbeat::local(context, &session.into(), generation, tokens).await,
    }
}

pub(crate) async fn describe(
    context: &Context,
    request: api::DescribeLeasesRequest,
) -> Result<api::DescribeLeasesResponse, Status> {
    let growing = request
        .logs
        .into_iter()
        .map(|log| (LeaseToken::from(log.token), log.bytes));
    let subjects = logs::local(context, &request.session.into(), growing.collect()).await?;
    Ok(api::DescribeLeasesResponse {
        subjects: subjects.into_iter().map(words::subject).collect(),
    })
}

pub(crate) async fn close_session(context: &Context, request: api::CloseSessionRequest) {
    if !request.moved {
        return ending::closed(context, request).await;
    }
    let api::CloseSessionRequest {
        session,
        generation,
        received,
        ..
    } = request;
    let session = SessionId::from(session);
    context.sessions.moved(&session, generation);
    let received = received.map(ending::tokens);
    context.owner.session_lives(session, generation, received).await;
}

/// Passes directives on to the workers that are connected here.
pub(crate) fn direct(context: &Context, request: api::DirectLeasesRequest) {
    for told in request.directives {
        if let Some(directive) = told.directive {
            // Another replica has the session, or it is over.
            drop(context.sessions.pass_on(&told.session.into(), directive));
        }
    }
}

/// Tells what changes until the listener goes.
pub(crate) fn watch_changes(context: &Context) -> Changes {
    let (sender, receiver) = mpsc::channel(WAITING);
    let (mut events, mut logs) = (context.events.feed(), context.logs.feed());
    let shutdown = context.shutdown.clone();
    tokio::spawn(async move {
        // What was stored before is found by whoever looks once this has come.
        let mut news = News {
            missed: true,
            ..News::default()
        };
        loop {
            if sender.send(Ok(std::mem::take(&mut news).message())).await.is_err() {
                return;
            }
            tokio::select! {
                change = events.recv() => note(change, &mut news.events, &mut news.missed),
                change = logs.recv() => note(change, &mut news.logs, &mut news.missed),
                () = sender.closed() => return,
                () = shutdown.cancelled() => return,
            }
            drain(&mut events, &mut news.events, &mut news.missed);
            drain(&mut logs, &mut news.logs, &mut news.missed);
        }
    });
    ReceiverStream::new(receiver)
}

/// An execution that has changed, and whether that was its end.
type Change = (ExecutionId, bool);

/// What is told next.
#[derive(Default)]
struct News {
    events: Vec<Change>,
    logs: Vec<Change>,
    missed: bool,
}

impl News {
    fn message(self) -> api::WatchChangesResponse {
        let bytes = |(id, _): &Change| id.bytes().to_vec();
        api::WatchChangesResponse {
            executions: self.events.iter().map(bytes).collect(),
            logs: self.logs.iter().map(bytes).collect(),
            missed: self.missed,
            ended: self.events.iter().filter(|(_, over)| *over).map(bytes).collect(),
            tells_ends: true,
        }
    }
}

fn note(change: Result<Change, broadcast::error::RecvError>, changes: &mut Vec<Change>, missed: &mut bool) {
    match change {
        Ok(change) => changes.push(change),
        Err(_) => *missed = true,
    }
}

/// What waits already joins the same message.
fn drain(feed: &mut broadcast::Receiver<Change>, changes: &mut Vec<Change>, missed: &mut bool) {
    while changes.len() < BATCH {
        match feed.try_recv() {
            Ok(change) => changes.push(change),
            Err(broadcast::error::TryRecvError::Lagged(_)) => *missed = true,
            Err(_) => return,
        }
    }
}

pub(crate) fn lend(context: &Context, request: &api::LendPointersRequest) -> api::LendPointersResponse {
    match &context.lending {
        Some(lending) => replication::lend(lending.as_ref(), request),
        None => api::LendPointersResponse::default(),
    }
}

fn execution_id(bytes: &[u8]) -> Result<ExecutionId, Status> {
    let id = bytes.try_into().map(ExecutionId::from_bytes);
    id.map_err(|_| ApiError::field("id", "has not 16 bytes").into())
}

fn session(session: Option<api::SessionRef>) -> Result<SessionRef, Status> {
    let session = session.ok_or_else(|| Status::from(ApiError::field("session", "must be given")))?;
    Ok(SessionRef {
        session: session.session.into(),
        worker: Arc::from(session.worker),
        queues: Arc::from(session.queues),
        generation: session.generation,
    })
}
