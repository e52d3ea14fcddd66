//! The stream of a worker: it says how many tasks it can take, and gets tasks and cancels at once. When the stream
//! breaks the session is closed and what it held is given out again at once.

use std::sync::Arc;
use std::time::Duration;

use nexus_api::error::ApiError;
use nexus_api::worker::v1::{
    HeartbeatTasksRequest, LeasedTask, PollTasksResponse, StreamTasksRequest, StreamTasksResponse,
    stream_tasks_request, stream_tasks_response,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{heartbeat, lease, poll, report, session};
use crate::Context;
use crate::owner::SessionRef;
use crate::sessions;

/// Messages that wait for a slow worker at most.
const OUTBOX: usize = 256;

/// How long a worker whose stream broke has to come back before what it held is given out again.
const RETURN: Duration = Duration::from_millis(2_500);

/// Reports of one stream that are being stored at most; further messages of the stream wait meanwhile.
const REPORTS: usize = 64;

/// What the worker gets.
pub(crate) type Messages = ReceiverStream<Result<StreamTasksResponse, Status>>;
type Outbox = mpsc::Sender<Result<StreamTasksResponse, Status>>;

pub(crate) async fn stream(context: &Context, mut incoming: Streaming<StreamTasksRequest>) -> Result<Messages, Status> {
    use stream_tasks_request::Message as In;
    let first = incoming.message().await?.and_then(|message| message.message);
    let Some(In::Ready(ready)) = first else {
        return Err(ApiError::field("message", "the first message must be `ready`").into());
    };
    let session = session(context, &ready.session)?;
    let (outbox, messages) = mpsc::channel(OUTBOX);
    let (direct, mut directed) = mpsc::channel(OUTBOX);
    let stream = context.sessions.attach(&session.session, direct);
    let (credits, credits_seen) = watch::channel(ready.max_tasks);
    let reports = Arc::new(Semaphore::new(REPORTS));
    let context = context.clone();
    tokio::spawn(async move {
        let leaving = CancellationToken::new();
        let mut feeder = tokio::spawn(feed(
            context.clone(),
            session.clone(),
            credits.clone(),
            credits_seen,
            outbox.clone(),
            leaving.clone(),
        ));
        loop {
            tokio::select! {
                message = incoming.message() => match message {
                    Ok(Some(StreamTasksRequest { message: Some(message) })) => {
                        let leaves = matches!(&message, In::Heartbeat(beat) if beat.leaving);
                        if leaves && !leaving.is_cancelled() {
                            // What was given to the worker is on its way before it hears that no more will come: a
                            // lease that it never heard of would be lost with its session.
                            leaving.cancel();
                            drop((&mut feeder).await);
                        }
                        take(&context, &session, message, &credits, &outbox, &reports).await;
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break,
                },
                message = directed.recv() => match message {
                    Some(message) => drop(outbox.send(Ok(message)).await),
                    // The session is over, or has another stream. Tasks that would be given out here could not be reported.
                    None => {
                        drop(outbox.send(Err(super::unknown())).await);
                        break;
                    }
                },
                () = outbox.closed() => break,
            }
        }
        feeder.abort();
        broken(&context, &session.session, stream).await;
    });
    Ok(ReceiverStream::new(messages))
}

/// A stream has ended. A worker that lives comes back under the same session, here or at another replica; one that does
/// not has its leases given out again.
async fn broken(context: &Context, session: &str, stream: u64) {
    if context.leaving.is_cancelled() {
        // It was this replica that sent the worker away.
        context.sessions.forget(session);
        return;
    }
    sleep(RETURN).await;
    if context.sessions.close_broken(session, stream) {
        sessions::over(context, session.to_owned(), "the worker's stream broke").await;
    }
}

/// Answers one message. Reports are answered in tasks of their own, so that their commits can be shared.
async fn take(
    context: &Context,
    session: &SessionRef,
    message: stream_tasks_request::Message,
    credits: &watch::Sender<u32>,
    outbox: &Outbox,
    reports: &Arc<Semaphore>,
) {
    use stream_tasks_request::Message as In;
    use stream_tasks_response::Message as Out;
    match message {
        In::Ready(ready) => credits.send_modify(|credits| *credits = credits.saturating_add(ready.max_tasks)),
        In::Heartbeat(mut request) => {
            request.session = session.session.to_string();
            // What was leased is said before that nothing more comes; otherwise a replica that does not answer must
            // not hold up the reports behind this.
            if request.leaving {
                return answer_heartbeat(context, request, outbox).await;
            }
            let (context, outbox) = (context.clone(), outbox.clone());
            let Ok(turn) = Arc::clone(reports).acquire_owned().await else {
                return;
            };
            tokio::spawn(async move {
                let _turn = turn;
                answer_heartbeat(&context, request, &outbox).await;
            });
        }
        In::Report(mut request) => {
            request.session = session.session.to_string();
            let (context, credits, outbox) = (context.clone(), credits.clone(), outbox.clone());
            // Never closed, so there always comes a turn.
            let Ok(turn) = Arc::clone(reports).acquire_owned().await else {
                return;
            };
            tokio::spawn(async move {
                let _turn = turn;
                let free = request.free_slots;
                let answer = report::report(&context, request).await;
                let used = answer
                    .as_ref()
                    .map_or(0, |answer| u32::try_from(answer.tasks.len()).unwrap_or(u32::MAX));
                // Slots that the answer does not fill are filled by the feeder.
                credits.send_modify(|credits| *credits = credits.saturating_add(free.saturating_sub(used)));
                let answer = answer.map(|answer| StreamTasksResponse {
                    message: Some(Out::ReportResults(answer)),
                });
                drop(outbox.send(answer).await);
            });
        }
    }
}

async fn answer_heartbeat(context: &Context, request: HeartbeatTasksRequest, outbox: &Outbox) {
    let answer = heartbeat::heartbeat(context, request).await;
    let answer = answer.map(|answer| StreamTasksResponse {
        message: Some(stream_tasks_response::Message::Heartbeat(answer)),
    });
    drop(outbox.send(answer).await);
}

/// Sends tasks while the worker has credit and does not leave.
async fn feed(
    context: Context,
    session: SessionRef,
    credits: watch::Sender<u32>,
    mut seen: watch::Receiver<u32>,
    outbox: Outbox,
    leaving: CancellationToken,
) {
    let mut others = JoinSet::new();
    loop {
        let free = *seen.borrow_and_update();
        if free == 0 {
            tokio::select! {
                changed = seen.changed() => if changed.is_err() { return },
                () = leaving.cancelled() => break,
                () = context.leaving.cancelled() => break,
            }
            continue;
        }
        let max = free.min(poll::MAX_TASKS) as usize;
        let taken = tokio::select! {
            taken = context.dispatch.take(&session.queues, max, Duration::from_secs(60)) => taken,
            () = leaving.cancelled() => break,
            () = context.leaving.cancelled() => break,
        };
        let Ok(taken) = taken else {
            // The dispatcher is away; it is asked again in a moment.
            tokio::time::sleep(Duration::from_millis(500)).await;
            continue;
        };
        let asked = u32::try_from(taken.len()).unwrap_or(u32::MAX);
        credits.send_modify(|credits| *credits = credits.saturating_sub(asked));
        let (mine, theirs) = lease::by_owner(&context, taken);
        for (peer, taken) in theirs {
            let (context, session) = (context.clone(), session.clone());
            let (credits, outbox) = (credits.clone(), outbox.clone());
            // Nobody waits for another replica: what it leases is sent when it comes.
            others.spawn(async move {
                let asked = taken.len();
                let tasks = lease::there(&context, peer, taken, &session).await;
                give_back(&credits, asked - tasks.len().min(asked));
                send(&outbox, tasks).await
            });
        }
        while others.try_join_next().is_some() {}
        let asked = mine.len();
        let tasks = match lease::mine(&context, mine, &session).await {
            Ok(tasks) => tasks,
            Err(error) => return drop(outbox.send(Err(error)).await),
        };
        give_back(&credits, asked - tasks.len().min(asked));
        if !send(&outbox, tasks).await {
            return;
        }
    }
    // What was asked of other replicas is on its way to the worker before it hears that no more comes.
    while others.join_next().await.is_some() {}
    if context.leaving.is_cancelled() {
        drain(&outbox).await;
    }
}

/// Slots for which nothing was leased are free again.
fn give_back(credits: &watch::Sender<u32>, slots: usize) {
    if slots > 0 {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        credits.send_modify(|credits| *credits = credits.saturating_add(slots));
    }
}

/// Sends leased tasks; false when nobody listens any more.
async fn send(outbox: &Outbox, tasks: Vec<LeasedTask>) -> bool {
    if tasks.is_empty() {
        return true;
    }
    let message = Some(stream_tasks_response::Message::Tasks(PollTasksResponse {
        tasks,
        drain: false,
    }));
    outbox.send(Ok(StreamTasksResponse { message })).await.is_ok()
}

async fn drain(outbox: &Outbox) {
    let message = Some(stream_tasks_response::Message::Tasks(PollTasksResponse {
        tasks: Vec::new(),
        drain: true,
    }));
    drop(outbox.send(Ok(StreamTasksResponse { message })).await);
}
