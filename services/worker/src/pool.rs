//! What the worker holds: attempts, reports that wait, and how many tasks it asks for. Pure: time is a parameter and
//! nothing is sent from here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use nexus_api::worker::v1::{TaskReport, directive::Action, task_report};
use nexus_tasks::Outcome;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::convert;
use crate::window::Window;

/// Most reports of one message.
const MAX_REPORTS: usize = 1_000;
/// Most bytes of outputs in one message; gRPC refuses messages over 4 MiB.
const MAX_REPORT_BYTES: usize = 2 << 20;
/// Reports without an answer, and bytes of them, beyond which the worker asks for no more tasks: the server does not keep
/// up.
const MAX_UNANSWERED: usize = 1_000;
const MAX_UNANSWERED_BYTES: usize = 16 << 20;
/// Most leases that a server takes as received.
const MAX_RECEIVED: usize = 10_000;

/// Why the worker stops an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The server said so.
    Cancel,
    /// The lease is somebody else's: nothing is reported.
    Lost,
    /// The worker shuts down: the attempt is given back.
    Release,
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It ran.
    Report(TaskReport),
    /// It found no slot, or was stopped before it did: nothing of the task has run.
    NotStarted {
        /// Its lease.
        token: String,
    },
}

struct Running {
    cancel: CancellationToken,
    stop: Option<Stop>,
    /// The lease was surely the worker's then; see [`crate::standing`].
    sure: watch::Sender<Instant>,
    /// One that came with a stale lease has not begun: it is kept so long for the server's word.
    kept_until: Option<Instant>,
}

/// What the worker holds.
pub(crate) struct Pool {
    slots: usize,
    window: Window,
    running: HashMap<String, Running>,
    waiting: VecDeque<TaskReport>,
    sent: Vec<TaskReport>,
    /// Bytes of the reports that wait or are under way.
    unanswered_bytes: usize,
    /// Leases of this session that were given up without a word to the server. Nothing once they are too many.
    given_up: Option<HashSet<String>>,
}

impl Pool {
    pub(crate) fn new(slots: u32) -> Self {
        Self {
            slots: slots as usize,
            window: Window::new(slots as usize),
            running: HashMap::new(),
            waiting: VecDeque::new(),
            sent: Vec::new(),
            unanswered_bytes: 0,
            given_up: Some(HashSet::new()),
        }
    }

    /// A session begins that has no leases yet.
    pub(crate) fn begins_anew(&mut self) {
        self.given_up = Some(HashSet::new());
    }

    /// Every lease that has come and that the server has no answer to; nothing when they are too many to be told.
    pub(crate) fn received(&self) -> Option<Vec<String>> {
        let given_up = self.given_up.as_ref()?;
        let mut received = self.tokens();
        received.extend(given_up.iter().cloned());
        (received.len() <= MAX_RECEIVED).then_some(received)
    }

    fn give_up(&mut self, token: &str) {
        if let Some(given_up) = &mut self.given_up {
            given_up.insert(token.to_owned());
            if given_up.len() > MAX_RECEIVED {
                self.given_up = None;
            }
        }
    }

    /// Slots that no attempt needs.
    pub(crate) fn free(&self) -> usize {
        self.slots.saturating_sub(self.running.len())
    }

    /// A stream was opened and so many tasks were asked for.
    pub(crate) fn opened(&mut self, free: usize) {
        self.window.opened(free);
    }

    /// Tasks have come.
    pub(crate) fn came(&mut self, tasks: usize) {
        self.window.came(tasks);
    }

    /// How many tasks to ask for with the reports that go out now.
    pub(crate) fn ask(&mut self, now: Instant) -> usize {
        if self.is_behind() {
            return 0;
        }
        self.window.ask(self.running.len(), now)
    }

    /// How many tasks to ask for in a message that says nothing else. While reports are under way more of them go out
    /// soon, so it is worth one only when much stands empty.
    pub(crate) fn ask_alone(&mut self, now: Instant) -> usize {
        let worth = if self.sent.is_empty() {
            1
        } else {
            self.slots.div_ceil(4)
        };
        if self.is_behind() || self.window.vacant(self.running.len()) < worth {
            return 0;
        }
        self.window.ask(self.running.len(), now)
    }

    /// True while the server does not keep up with the reports.
    fn is_behind(&self) -> bool {
        self.waiting.len() + self.sent.len() >= MAX_UNANSWERED || self.unanswered_bytes >= MAX_UNANSWERED_BYTES
    }

    pub(crate) fn busy(&self) -> usize {
        self.running.len()
    }

    /// True when nothing runs and nothing waits to be told.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty() && self.sent.is_empty()
    }

    /// True when no report is under way.
    pub(crate) fn is_answered(&self) -> bool {
        self.sent.is_empty()
    }

    /// Takes a leased attempt, whose lease was surely this worker's at `sure`; nothing when it is here already or there are
    /// too many.
    pub(crate) fn take(&mut self, token: &str, sure: Instant) -> Option<(CancellationToken, watch::Receiver<Instant>)> {
        if self.running.len() >= self.window.room() || self.running.contains_key(token) {
            return None;
        }
        let cancel = CancellationToken::new();
        let running = Running {
            cancel: cancel.clone(),
            stop: None,
            sure: watch::Sender::new(sure),
            kept_until: None,
        };
        let seen = running.sure.subscribe();
        self.running.insert(token.to_owned(), running);
        Some((cancel, seen))
    }

    /// Keeps an attempt that has not begun, whatever the age of its lease is, until then or until the server's word.
    pub(crate) fn keep(&mut self, token: &str, until: Instant) {
        if let Some(running) = self.running.get_mut(token) {
            running.kept_until = Some(until);
        }
    }

    /// True when an attempt runs or its report is not yet answered.
    pub(crate) fn knows(&self, token: &str) -> bool {
        self.running.contains_key(token)
            || self
                .waiting
                .iter()
                .chain(&self.sent)
                .any(|report| report.token == token)
    }

    /// Stops an attempt; a loss is stronger than anything else.
    pub(crate) fn stop(&mut self, token: &str, why: Stop) {
        if let Some(running) = self.running.get_mut(token) {
            if running.stop.is_none() || why == Stop::Lost {
                running.stop = Some(why);
            }
            running.cancel.cancel();
        }
        if why == Stop::Lost
            && let Some(place) = self.waiting.iter().position(|report| report.token == token)
        {
            let report = self.waiting.remove(place);
            self.unanswered_bytes -= report.as_ref().map_or(0, size);
            self.give_up(token);
        }
    }

    /// Stops every attempt.
    pub(crate) fn stop_all(&mut self, why: Stop) {
        let tokens: Vec<String> = self.running.keys().cloned().collect();
        for token in tokens {
            self.stop(&token, why);
        }
    }

    /// Obeys a directive; `asked` is when the heartbeat was sent that it answers. One that answers none that is known
    /// extends nothing: it may have lain in a socket for long.
    pub(crate) fn direct(&mut self, token: &str, action: Action, asked: Option<Instant>) {
        match action {
            Action::Continue => {
                if let (Some(running), Some(asked)) = (self.running.get_mut(token), asked) {
                    running.kept_until = None;
                    running.sure.send_if_modified(|sure| {
                        let later = asked > *sure;
                        *sure = asked.max(*sure);
                        later
                    });
                }
            }
            Action::Cancel => self.stop(token, Stop::Cancel),
            Action::LeaseLost => self.stop(token, Stop::Lost),
            Action::Unspecified => {}
        }
    }

    /// Stops the attempts whose lease was not extended for `lease`; gives how many. By then the server may have given
    /// them to somebody else.
    pub(crate) fn expire(&mut self, lease: Duration, now: Instant) -> usize {
        let expired: Vec<String> = self
            .running
            .iter()
            .filter(|(_, running)| running.stop != Some(Stop::Lost))
            .filter(|(_, running)| running.kept_until.is_none_or(|until| now >= until))
            .filter(|(_, running)| now.duration_since(*running.sure.borrow()) >= lease)
            .map(|(token, _)| token.clone())
            .collect();
        for token in &expired {
            self.stop(token, Stop::Lost);
        }
        expired.len()
    }

    /// Whether some attempt's lease was not extended for so long.
    pub(crate) fn is_in_doubt(&self, age: Duration, now: Instant) -> bool {
        let waits =
            |running: &Running| running.stop != Some(Stop::Lost) && now.duration_since(*running.sure.borrow()) >= age;
        self.running.values().any(waits)
    }

    /// Notes that an attempt ended. Its slot is free.
    pub(crate) fn ended(&mut self, ended: Ended, now: Instant) {
        let token = match &ended {
            Ended::Report(report) => &report.token,
            Ended::NotStarted { token } => token,
        };
        let stop = self.running.remove(token).and_then(|running| running.stop);
        let report = match (ended, stop) {
            (Ended::Report(TaskReport { token, .. }) | Ended::NotStarted { token }, Some(Stop::Lost)) => {
                return self.give_up(&token);
            }
            (Ended::Report(report), Some(Stop::Release)) if is_cancelled(&report) => {
                convert::released(&report.token, "the worker is shutting down", false)
            }
            (Ended::Report(report), _) => {
                self.window.ended(now);
                report
            }
            (Ended::NotStarted { token }, Some(Stop::Cancel)) => convert::report(&token, Outcome::Cancelled),
            (Ended::NotStarted { token }, Some(Stop::Release)) => {
                convert::released(&token, "the worker is shutting down", true)
            }
            (Ended::NotStarted { token }, None) => convert::released(&token, "the worker's slots are taken", true),
        };
        self.wait(report);
    }

    /// Gives an attempt back that was never begun.
    pub(crate) fn refuse(&mut self, token: &str, reason: &str) {
        self.wait(convert::released(token, reason, true));
    }

    fn wait(&mut self, report: TaskReport) {
        self.unanswered_bytes += size(&report);
        self.waiting.push_back(report);
    }

    /// The next reports to send: what gathered while the ones before were under way. One batch is under way at a time.
    pub(crate) fn next_reports(&mut self, now: Instant) -> Option<Vec<TaskReport>> {
        if !self.sent.is_empty() || self.waiting.is_empty() {
            return None;
        }
        let mut bytes = 0;
        while let Some(report) = self.waiting.front() {
            bytes += size(report);
            if self.sent.len() == MAX_REPORTS || (bytes > MAX_REPORT_BYTES && !self.sent.is_empty()) {
                break;
            }
            self.sent.extend(self.waiting.pop_front());
        }
        self.window.sent(now);
        Some(self.sent.clone())
    }

    /// Notes that a report was answered, whatever the answer is. Only one that was accepted is known to be stored: what
    /// made a report stale may be forgotten again with the owner that decided it.
    pub(crate) fn answered(&mut self, token: &str, accepted: bool, now: Instant) {
        if let Some(place) = self.sent.iter().position(|report| report.token == token) {
            self.unanswered_bytes -= size(&self.sent.swap_remove(place));
        }
        self.window.answered(now);
        if !accepted {
            self.give_up(token);
        }
    }

    /// Takes back what was under way when the way broke: it is sent again, which is harmless.
    pub(crate) fn unsend(&mut self) {
        for report in self.sent.drain(..).rev() {
            self.waiting.push_front(report);
        }
    }

    /// Every attempt whose lease must go on.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let reported = self.waiting.iter().chain(&self.sent).map(|report| report.token.clone());
        self.running.keys().cloned().chain(reported).collect()
    }
}

fn is_cancelled(report: &TaskReport) -> bool {
    matches!(report.outcome, Some(task_report::Outcome::Cancelled(_)))
}

fn size(report: &TaskReport) -> usize {
    match &report.outcome {
        Some(task_report::Outcome::Succeeded(succeeded)) => succeeded.output.len() + 128,
        _ => 32 << 10,
    }
}

#[cfg(test)]
mod tests;
