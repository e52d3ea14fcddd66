//! The stream of a worker: it says how many tasks it can take, and gets tasks and cancels at once. When the stream
//! breaks and the worker does not come back soon, its session is closed and what it held is given out again.

use std::sync::Arc;
use std::time::Duration;

use nexus_api::error::ApiError;
use nexus_api::worker::v1::{
    HeartbeatTasksRequest, LeasedTask, PollTasksResponse, StreamTasksRequest, StreamTasksResponse,
    stream_tasks_request, stream_tasks_response,
};
use nexus_execution_owner::{Granted, SessionRef};
use nexus_execution_store::SessionId;
use nexus_failpoint::kill_here;
use nexus_streams::{DispatchError, Taken};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::register::MAX_SLOTS;
use super::{heartbeat, lease, poll, report, session};
use crate::waiting::{Desk, HANDED, Open};
use crate::{Context, ending};
use nexus_execution_sessions::speaker::Speaker;

/// Messages that wait for a slow worker at most.
const OUTBOX: usize = 256;

/// How long a worker whose stream broke has to come back before what it held is given out again.
const RETURN: Duration = Duration::from_millis(2_500);

/// How much longer it has when the replica itself could not reach its database lately: a worker gives a replica up after
/// 6.5 s, tries to register for 4 s at each, and may come to this one first.
const AFTER_OWN_ABSENCE: Duration = Duration::from_secs(9);

/// Reports of one stream that are being stored at most; further messages of the stream wait meanwhile.
const REPORTS: usize = 64;

/// What the worker gets.
pub(crate) type Messages = ReceiverStream<Result<StreamTasksResponse, Status>>;
type Outbox = mpsc::Sender<Result<StreamTasksResponse, Status>>;

pub(crate) async fn stream(
    context: &Context,
    speaker: &Speaker,
    mut incoming: Streaming<StreamTasksRequest>,
) -> Result<Messages, Status> {
    use stream_tasks_request::Message as In;
    let first = incoming.message().await?.and_then(|message| message.message);
    let Some(In::Ready(ready)) = first else {
        return Err(ApiError::field("message", "the first message must be `ready`").into());
    };
    let session = session(context, speaker, &ready.session)?;
    let (outbox, messages) = mpsc::channel(OUTBOX);
    let (direct, mut directed) = mpsc::channel(OUTBOX);
    let stream = context.sessions.attach(&session.session, direct);
    let (credits, credits_seen) = watch::channel(at_most(ready.max_tasks));
    let reports = Arc::new(Semaphore::new(REPORTS));
    let context = context.clone();
    let whose = (speaker.clone(), session.session.clone());
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
                        take(&context, &whose, message, &credits, &outbox, &reports).await;
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    // As a rule nobody is there any more; whoever sent what cannot be read hears of it.
                    Err(status) => {
                        drop(outbox.try_send(Err(status)));
                        break;
                    }
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
        // It gives back what the worker cannot hear of any more.
        leaving.cancel();
        broken(&context, &session.session, stream).await;
    });
    Ok(ReceiverStream::new(messages))
}

/// A stream has ended. A worker that lives comes back under the same session, here or at another replica; one that does
/// not has its leases given out again.
async fn broken(context: &Context, session: &SessionId, stream: u64) {
    if context.leaving.is_cancelled() {
        // It was this replica that sent the worker away.
        context.sessions.forget(session);
        return;
    }
    sleep(RETURN).await;
    if context.sessions.was_away_lately() {
        // It was this replica that was cut off or stood still, and the worker may be trying it in vain before another one.
        sleep(AFTER_OWN_ABSENCE).await;
    }
    if let Some(closing) = context.sessions.close_broken(session, stream) {
        ending::over(context.clone(), vec![closing], "the worker's stream broke").await;
    }
}

/// Who has a stream, and their session.
type Whose = (Speaker, SessionId);

/// Answers one message. Reports are answered in tasks of their own, so that their commits can be shared.
async fn take(
    context: &Context,
    whose: &Whose,
    message: stream_tasks_request::Message,
    credits: &watch::Sender<i64>,
    outbox: &Outbox,
    reports: &Arc<Semaphore>,
) {
    use stream_tasks_request::Message as In;
    use stream_tasks_response::Message as Out;
    match message {
        In::Ready(ready) => add(credits, at_most(ready.max_tasks)),
        In::Heartbeat(mut request) => {
            request.session = whose.1.to_string();
            // What was leased is said before that nothing more comes; otherwise a replica that does not answer must
            // not hold up the reports behind this.
            if request.leaving {
                return answer_heartbeat(context, &whose.0, request, outbox).await;
            }
            let (context, speaker, outbox) = (context.clone(), whose.0.clone(), outbox.clone());
            let Ok(turn) = Arc::clone(reports).acquire_owned().await else {
                return;
            };
            tokio::spawn(async move {
                let _turn = turn;
                answer_heartbeat(&context, &speaker, request, &outbox).await;
            });
        }
        In::Report(mut request) => {
            request.session = whose.1.to_string();
            let (context, speaker) = (context.clone(), whose.0.clone());
            let (credits, outbox) = (credits.clone(), outbox.clone());
            // Never closed, so there always comes a turn.
            let Ok(turn) = Arc::clone(reports).acquire_owned().await else {
                return;
            };
            tokio::spawn(async move {
                let _turn = turn;
                let free = at_most(request.free_slots);
                let answer = report::report(&context, &speaker, request).await;
                let used = answer.as_ref().map_or(0, |answer| slots(answer.tasks.len()));
                // Slots that the answer does not fill are filled by the feeder.
                add(&credits, free - used);
                let answer = answer.map(|answer| StreamTasksResponse {
                    message: Some(Out::ReportResults(answer)),
                });
                drop(outbox.send(answer).await);
            });
        }
    }
}

/// The free slots that a message tells of.
fn at_most(slots: u32) -> i64 {
    i64::from(slots.min(MAX_SLOTS))
}

/// However often a worker says that slots are free, it has no more than it may have.
fn add(credits: &watch::Sender<i64>, slots: i64) {
    credits.send_modify(|credits| *credits = (*credits + slots).min(i64::from(MAX_SLOTS)));
}

async fn answer_heartbeat(context: &Context, speaker: &Speaker, request: HeartbeatTasksRequest, outbox: &Outbox) {
    let answer = heartbeat::heartbeat(context, speaker, request).await;
    let answer = answer.map(|answer| StreamTasksResponse {
        message: Some(stream_tasks_response::Message::Heartbeat(answer)),
    });
    drop(outbox.send(answer).await);
}

/// Sends tasks while the worker has credit and does not leave: those that it takes, and those that are handed in because
/// it waits.
async fn feed(
    context: Context,
    session: SessionRef,
    credits: watch::Sender<i64>,
    mut seen: watch::Receiver<i64>,
    outbox: Outbox,
    leaving: CancellationToken,
) {
    let (handed, mut leases) = mpsc::channel(HANDED);
    let desk = Desk::new(session.clone(), credits.clone(), handed);
    let open = context.waiting.open(Arc::new(desk));
    let feeder = Feeder {
        context: context.clone(),
        session,
        credits,
        outbox,
    };
    let mut others = JoinSet::new();
    loop {
        let free = *seen.borrow_and_update();
        let next = tokio::select! {
            biased;
            Some(lease) = leases.recv() => Next::Handed(lease),
            () = leaving.cancelled() => break,
            () = context.leaving.cancelled() => break,
            changed = seen.changed() => if changed.is_err() { break } else { continue },
            taken = take_some(&context, &open, &feeder.session.queues, free), if free > 0 => Next::Taken(taken),
        };
        let heard = match next {
            Next::Handed(lease) => feeder.handed(lease, &mut leases).await,
            Next::Taken(Ok(taken)) => feeder.taken(taken, &mut others).await,
            Next::Taken(Err(_)) => {
                // The dispatcher is away; it is asked again in a moment.
                sleep(Duration::from_millis(500)).await;
                true
            }
        };
        if !heard {
            break;
        }
        while others.try_join_next().is_some() {}
    }
    // What was asked of other replicas or handed in is on its way to the worker before it hears that no more comes.
    leases.close();
    while let Some(lease) = leases.recv().await {
        feeder.handed(lease, &mut leases).await;
    }
    while others.join_next().await.is_some() {}
    if context.leaving.is_cancelled() {
        drain(&feeder.outbox).await;
    }
}

/// What the feeder does next.
enum Next {
    Handed(Granted),
    Taken(Result<Vec<Taken>, DispatchError>),
}

/// Takes pointers. While there are none, starts may fill the worker's slots.
async fn take_some(context: &Context, open: &Open, queues: &[String], free: i64) -> Result<Vec<Taken>, DispatchError> {
    let _waits = open.wait();
    let max = usize::try_from(free).unwrap_or(0).min(poll::MAX_TASKS as usize);
    context.dispatch.take(queues, max, Duration::from_secs(60)).await
}

/// Makes tasks of what is taken or handed in, and sends them to one worker.
#[derive(Clone)]
struct Feeder {
    context: Context,
    session: SessionRef,
    credits: watch::Sender<i64>,
    outbox: Outbox,
}

impl Feeder {
    /// Sends leases that were handed in; the slots are taken already. False when the worker is gone.
    async fn handed(&self, lease: Granted, leases: &mut mpsc::Receiver<Granted>) -> bool {
        let mut granted = vec![lease];
        while granted.len() < poll::MAX_TASKS as usize
            && let Ok(lease) = leases.try_recv()
        {
            granted.push(lease);
        }
        let asked = granted.len();
        let tasks = lease::prepare(&self.context, granted, &self.session).await;
        kill_here("execution::grant");
        give_back(&self.credits, asked - tasks.len());
        self.send(tasks).await
    }

    /// Leases what was taken and sends it. False when the worker is gone or its session is over.
    async fn taken(&self, taken: Vec<Taken>, others: &mut JoinSet<()>) -> bool {
        // A slot may have been kept for a start in this very moment. Then there is one task too many, the worker gives it
        // back, and its word that a slot is free pays the debt.
        let asked = slots(taken.len());
        self.credits.send_modify(|credits| *credits -= asked);
        let (mine, theirs) = lease::by_owner(&self.context, taken);
        for (peer, taken) in theirs {
            let feeder = self.clone();
            // Nobody waits for another replica: what it leases is sent when it comes.
            others.spawn(async move {
                let asked = taken.len();
                let tasks = lease::remote(&feeder.context, peer, taken, &feeder.session).await;
                give_back(&feeder.credits, asked - tasks.len().min(asked));
                feeder.send(tasks).await;
            });
        }
        let asked = mine.len();
        let tasks = match lease::mine(&self.context, mine, &self.session).await {
            Ok(tasks) => tasks,
            Err(error) => {
                drop(self.outbox.send(Err(error)).await);
                return false;
            }
        };
        give_back(&self.credits, asked - tasks.len().min(asked));
        self.send(tasks).await
    }

    /// Sends leased tasks; false when nobody listens any more, and then they are somebody else's.
    async fn send(&self, tasks: Vec<LeasedTask>) -> bool {
        if tasks.is_empty() {
            return true;
        }
        let Ok(place) = self.outbox.reserve().await else {
            let tokens = tasks.into_iter().map(|task| task.token).collect();
            report::give_back(&self.context, &self.session, tokens).await;
            return false;
        };
        let message = Some(stream_tasks_response::Message::Tasks(PollTasksResponse {
            tasks,
            drain: false,
        }));
        place.send(Ok(StreamTasksResponse { message }));
        true
    }
}

/// Slots for which nothing was leased are free again.
fn give_back(credits: &watch::Sender<i64>, unused: usize) {
    if unused > 0 {
        credits.send_modify(|credits| *credits += slots(unused));
    }
}

fn slots(tasks: usize) -> i64 {
    i64::try_from(tasks).unwrap_or(i64::MAX)
}

async fn drain(outbox: &Outbox) {
    let message = Some(stream_tasks_response::Message::Tasks(PollTasksResponse {
        tasks: Vec::new(),
        drain: true,
    }));
    drop(outbox.send(Ok(StreamTasksResponse { message })).await);
}
