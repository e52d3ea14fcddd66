//! One session: tasks come in, results and heartbeats go out, over one stream.

use std::time::Duration;

use nexus_api::worker::v1::stream_tasks_request::Message as Out;
use nexus_api::worker::v1::stream_tasks_response::Message as In;
use nexus_api::worker::v1::{
    HeartbeatTasksRequest, HeartbeatTasksResponse, LeasedTask, PollTasksRequest, ReportTasksRequest,
    ReportTasksResponse, StreamTasksResponse, report_result,
};
use nexus_failpoint::kill_here;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::convert;
use crate::link::Link;
use crate::pool::Stop;
use crate::standing::Open;
use crate::state::{FAREWELL, FROZEN, PATIENCE, State};

/// For a server that names no length.
const DEFAULT_LEASE: Duration = Duration::from_secs(15);
/// How long a server that takes its leave is waited for to answer the reports that are under way.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// A server that has not said a word for so long, though each heartbeat wants an answer, is gone or frozen: another one
/// has its work by now. Two heartbeats and some time for the answer.
const DEAF: Duration = Duration::from_millis(6_500);

/// How often within a heartbeat's interval it is looked whether leases have run out or are in doubt.
const LOOKS: u32 = 3;

/// How a session ended.
pub(crate) enum Ended {
    /// The worker is done.
    Shutdown,
    /// The server asked for it.
    Drained,
    /// The stream broke.
    Broken(String),
}

/// Where a session stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Working,
    /// The server takes its leave: connect to another one, with everything that runs. What is under way is answered first,
    /// until this moment: the answer may bring tasks, and a lease that is not heard of is lost.
    Leaving(Instant),
    /// The worker shuts down: nothing new, until this moment.
    Draining(Instant),
    /// What was left has been stopped; its results may be told until this moment.
    Stopping(Instant),
}

pub(crate) struct Session<'a> {
    state: &'a mut State,
    link: Link,
    phase: Phase,
    /// Whether the server has said that it sends nothing more; waited for until the moment, once it was asked.
    farewell: (bool, Option<Instant>),
    /// When the last heartbeat was sent.
    beaten: Instant,
    /// When the server was last heard of.
    heard: Instant,
    /// Heartbeats without an answer.
    open: Open,
    /// When the newest heartbeat was sent that has an answer: what comes now was leased after that.
    sure: Instant,
    /// The worker was frozen and has asked for its leases: none is dropped before there was time for the answer.
    patience: Instant,
}

impl<'a> Session<'a> {
    pub(crate) fn new(state: &'a mut State, link: Link) -> Self {
        state.session_name.send_replace(link.session.session.clone());
        // Stopping takes a grace, is thought of at each look, and must be over before the server gives the task to
        // somebody else. Until then it may be that the owner has died and another one is taking over.
        let lease = convert::span(link.session.lease_duration.as_ref(), DEFAULT_LEASE);
        let every = heartbeat_interval(&link);
        let margin = state.options.tasks.kill_grace + every / LOOKS;
        state.lease = lease.saturating_sub(margin).max(lease / 3);
        let session = &link.session;
        let limits = (session.max_output_bytes as usize, session.max_log_bytes as usize);
        let own = (state.options.tasks.max_output_bytes, state.options.tasks.max_log_bytes);
        if (1..own.0).contains(&limits.0) || (1..own.1).contains(&limits.1) {
            // The server takes less than the worker is set to.
            let or_own = |limit: usize, own: usize| if limit == 0 { own } else { limit.min(own) };
            state.options.tasks.max_output_bytes = or_own(limits.0, own.0);
            state.options.tasks.max_log_bytes = or_own(limits.1, own.1);
            state.bench.runner = nexus_tasks::TaskRunner::new(state.options.tasks.clone());
        }
        Self {
            state,
            phase: Phase::Working,
            farewell: (false, None),
            beaten: Instant::now(),
            heard: Instant::now(),
            open: Open::default(),
            sure: link.asked,
            patience: link.asked,
            link,
        }
    }

    /// Serves until the stream breaks or the worker is done.
    pub(crate) async fn serve(mut self, shutdown: &CancellationToken) -> Ended {
        let every = heartbeat_interval(&self.link);
        let mut beat = interval(every / LOOKS);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ask = std::sync::Arc::clone(&self.state.ask);
        loop {
            // What ends while the server leaves is told to the next one.
            let leaves = matches!(self.phase, Phase::Leaving(_));
            if !leaves && (!self.tell_results().await || !self.ask_for_tasks().await) {
                return stuck();
            }
            if let Some(ended) = self.finished() {
                // A session whose attempts still run goes on at the next server.
                if self.state.pool.is_empty() || matches!(ended, Ended::Shutdown) {
                    let received = self.state.pool.received();
                    self.link.close(&self.state.client, received).await;
                    self.state.session_name.send_replace(String::new());
                }
                return ended;
            }
            let deadline = match self.phase {
                Phase::Draining(until) | Phase::Stopping(until) | Phase::Leaving(until) => Some(until),
                Phase::Working => None,
            };
            tokio::select! {
                message = self.link.incoming.message() => match message {
                    Ok(Some(message)) => self.hear(message),
                    Ok(None) => return Ended::Broken("the server closed the stream".to_owned()),
                    Err(status) => return Ended::Broken(status.message().to_owned()),
                },
                ended = self.state.next_ended() => self.state.note_ended(ended),
                _ = beat.tick() => {
                    if !self.look(every).await {
                        return stuck();
                    }
                }
                // Not only at a heartbeat: three seconds more would leave too little of a lease for going on elsewhere. A
                // worker that was frozen itself has not listened, which shows only now; its next heartbeat begins anew.
                () = sleep_until(self.heard + DEAF), if self.beaten.elapsed() <= FROZEN => {
                    if self.beaten.elapsed() <= FROZEN {
                        let silent = format!("the server has not answered for {:?}", self.heard.elapsed());
                        return Ended::Broken(silent);
                    }
                }
                () = ask.notified() => {
                    if !self.heartbeat().await {
                        return stuck();
                    }
                }
                () = shutdown.cancelled(), if matches!(self.phase, Phase::Working | Phase::Leaving(_)) => {
                    tracing::info!(running = self.state.pool.busy(), "the worker shuts down");
                    self.phase = Phase::Draining(Instant::now() + self.state.options.drain_grace);
                    self.farewell.1 = Some(Instant::now() + FAREWELL);
                    if !self.heartbeat().await {
                        return stuck();
                    }
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.overtime(),
            }
        }
    }

    /// True for the end when nothing runs and nothing is left to tell, or the last moment has passed.
    fn finished(&self) -> Option<Ended> {
        let idle = self.state.pool.is_empty();
        // What the server has given to this worker may be on its way: left alone it would count as lost. A server that
        // does not answer is not waited for longer; the next heartbeat looks.
        let (said, until) = self.farewell;
        let alone = said || until.is_none_or(|until| Instant::now() >= until);
        match self.phase {
            Phase::Leaving(until) if self.state.pool.is_answered() || Instant::now() >= until => Some(Ended::Drained),
            Phase::Draining(_) | Phase::Stopping(_) if idle && alone => Some(Ended::Shutdown),
            Phase::Stopping(until) if Instant::now() >= until => Some(Ended::Shutdown),
            _ => None,
        }
    }

    /// The grace is over: stop what runs and give it back.
    fn overtime(&mut self) {
        if let Phase::Draining(_) = self.phase {
            tracing::info!(
                running = self.state.pool.busy(),
                "the grace is over; running tasks are given back"
            );
            self.state.pool.stop_all(Stop::Release);
            self.phase = Phase::Stopping(Instant::now() + self.state.options.tasks.kill_grace + FAREWELL);
        }
    }

    /// Sends the results that gathered while the ones before were under way, and asks for tasks in the same message.
    async fn tell_results(&mut self) -> bool {
        let now = Instant::now();
        let Some(reports) = self.state.pool.next_reports(now) else {
            return true;
        };
        let free_slots = match self.phase {
            Phase::Working => u32::try_from(self.state.pool.ask(now)).unwrap_or(u32::MAX),
            _ => 0,
        };
        let request = ReportTasksRequest {
            session: self.link.session.session.clone(),
            reports,
            free_slots,
        };
        self.link.send(Out::Report(request)).await
    }

    /// Asks for tasks although there is nothing to report.
    async fn ask_for_tasks(&mut self) -> bool {
        if self.phase != Phase::Working {
            return true;
        }
        let tasks = self.state.pool.ask_alone(Instant::now());
        if tasks == 0 {
            return true;
        }
        let ready = PollTasksRequest {
            session: self.link.session.session.clone(),
            max_tasks: u32::try_from(tasks).unwrap_or(u32::MAX),
            wait: None,
        };
        self.link.send(Out::Ready(ready)).await
    }

    /// Looks whether a heartbeat is due, or leases have run out. While the owner of some lease does not answer, since it died
    /// and its shards go to another one, each look asks: otherwise the lease could run out between the new owner's
    /// first moment and the next heartbeat.
    async fn look(&mut self, every: Duration) -> bool {
        let now = Instant::now();
        let since = now.duration_since(self.beaten);
        if since <= FROZEN && now >= self.patience {
            self.state.expire();
        } else {
            self.state.look(now);
        }
        // What runs already when the session begins is asked for at once.
        let due = self.open.is_first() || since + every / (2 * LOOKS) >= every;
        if due || self.state.pool.is_in_doubt(every + every / LOOKS, now) {
            return self.heartbeat().await;
        }
        true
    }

    async fn heartbeat(&mut self) -> bool {
        // A worker that was frozen may have lost its leases or not: it asks, and drops a while later what nobody has
        // answered for.
        let now = Instant::now();
        let frozen = now.duration_since(self.beaten) > FROZEN;
        self.beaten = now;
        if frozen {
            self.heard = self.beaten;
            self.patience = self.beaten + PATIENCE;
        }
        let tokens = self.state.pool.tokens();
        let sequence = self.open.sent(self.beaten, &tokens);
        let request = HeartbeatTasksRequest {
            session: self.link.session.session.clone(),
            tokens,
            sequence,
            leaving: matches!(self.phase, Phase::Draining(_) | Phase::Stopping(_)),
        };
        self.link.send(Out::Heartbeat(request)).await
    }

    fn hear(&mut self, message: StreamTasksResponse) {
        self.heard = Instant::now();
        match message.message {
            Some(In::Tasks(tasks)) => {
                self.leave(tasks.drain);
                self.take(tasks.tasks);
            }
            Some(In::ReportResults(results)) => self.answered(results),
            Some(In::Heartbeat(heartbeat)) => self.directed(heartbeat),
            None => {}
        }
    }

    fn take(&mut self, tasks: Vec<LeasedTask>) {
        self.state.pool.came(tasks.len());
        for leased in tasks {
            if matches!(self.phase, Phase::Draining(_) | Phase::Stopping(_)) {
                self.state.pool.refuse(&leased.token, "the worker is shutting down");
            } else {
                self.state.start(leased, self.sure);
            }
        }
    }

    fn answered(&mut self, response: ReportTasksResponse) {
        kill_here("worker::reported");
        let now = Instant::now();
        for result in response.results {
            let accepted = result.status() == report_result::Status::Accepted;
            self.state.pool.answered(&result.token, accepted, now);
            match result.status() {
                report_result::Status::Stale => tracing::info!(reason = %result.message, "a result came too late"),
                report_result::Status::Invalid => tracing::warn!(reason = %result.message, "a result was refused"),
                report_result::Status::Accepted | report_result::Status::Unspecified => {}
            }
        }
        self.take(response.tasks);
    }

    fn directed(&mut self, heartbeat: HeartbeatTasksResponse) {
        self.leave(heartbeat.drain);
        self.farewell.0 |= heartbeat.leaving;
        let asked = self.open.answered(&heartbeat);
        self.sure = self.sure.max(asked.unwrap_or(self.sure));
        for directive in heartbeat.directives {
            self.state.pool.direct(&directive.token, directive.action(), asked);
        }
    }

    fn leave(&mut self, drain: bool) {
        if drain && self.phase == Phase::Working {
            self.phase = Phase::Leaving(Instant::now() + LAST_ANSWERS);
        }
    }
}

/// How often the server wants a heartbeat.
fn heartbeat_interval(link: &Link) -> Duration {
    convert::span(link.session.heartbeat_interval.as_ref(), Duration::from_secs(3))
}

fn stuck() -> Ended {
    Ended::Broken("the stream takes no messages".to_owned())
}
