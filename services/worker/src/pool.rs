//! What the worker holds: running attempts, reports that wait, and the promise about slots. Pure: time is a parameter
//! and nothing is sent from here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use nexus_api::worker::v1::{TaskReport, directive::Action, task_report};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Most reports of one message.
const MAX_REPORTS: usize = 1_000;
/// Most bytes of outputs in one message; gRPC refuses messages over 4 MiB.
const MAX_REPORT_BYTES: usize = 2 << 20;
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
    running: HashMap<String, Running>,
    waiting: VecDeque<TaskReport>,
    sent: Vec<TaskReport>,
    /// Leases of this session that were given up without a word to the server. Nothing once they are too many.
    given_up: Option<HashSet<String>>,
}

impl Pool {
    pub(crate) fn new(slots: u32) -> Self {
        Self {
            slots: slots as usize,
            running: HashMap::new(),
            waiting: VecDeque::new(),
            sent: Vec::new(),
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

    /// Slots that nothing uses.
    pub(crate) fn free(&self) -> usize {
        // A report that waits still holds its slot: its output is in memory and the server counts it so.
        self.slots
            .saturating_sub(self.running.len() + self.waiting.len() + self.sent.len())
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

    /// Takes a leased attempt, whose lease was surely this worker's at `sure`; nothing when it is here already or there is
    /// no slot.
    pub(crate) fn take(&mut self, token: &str, sure: Instant) -> Option<(CancellationToken, watch::Receiver<Instant>)> {
        if self.free() == 0 || self.running.contains_key(token) {
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
        if why == Stop::Lost {
            let waiting = self.waiting.len();
            self.waiting.retain(|report| report.token != token);
            if self.waiting.len() < waiting {
                self.give_up(token);
            }
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

    /// Notes that an attempt ended. Gives true when nothing is to be reported, so that its slot is free at once.
    pub(crate) fn ended(&mut self, report: TaskReport) -> bool {
        let stop = self.running.remove(&report.token).and_then(|running| running.stop);
        let cancelled = matches!(report.outcome, Some(task_report::Outcome::Cancelled(_)));
        match stop {
            Some(Stop::Lost) => {
                self.give_up(&report.token);
                return true;
            }
            Some(Stop::Release) if cancelled => {
                self.waiting.push_back(crate::convert::released(
                    &report.token,
                    "the worker is shutting down",
                    false,
                ));
            }
            _ => self.waiting.push_back(report),
        }
        false
    }

    /// Gives an attempt back that was never begun.
    pub(crate) fn refuse(&mut self, token: &str, reason: &str) {
        self.waiting.push_back(crate::convert::released(token, reason, true));
    }

    /// The next reports to send: what gathered while the ones before were under way. One batch is under way at a time.
    pub(crate) fn next_reports(&mut self) -> Option<Vec<TaskReport>> {
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
        Some(self.sent.clone())
    }

    /// Notes that a report was answered, whatever the answer is. Only one that was accepted is known to be stored: what
    /// made a report stale may be forgotten again with the owner that decided it.
    pub(crate) fn answered(&mut self, token: &str, accepted: bool) {
        self.sent.retain(|report| report.token != token);
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

fn size(report: &TaskReport) -> usize {
    match &report.outcome {
        Some(task_report::Outcome::Succeeded(succeeded)) => succeeded.output.len() + 128,
        _ => 32 << 10,
    }
}

#[cfg(test)]
mod tests {
    use nexus_tasks::Outcome;

    use super::*;
    use crate::convert::report;

    fn done(token: &str) -> TaskReport {
        report(token, Outcome::Succeeded("1".into()))
    }

    #[test]
    fn slots_are_held_until_the_answer() {
        let now = Instant::now();
        let mut pool = Pool::new(2);
        assert!(pool.take("a", now).is_some() && pool.take("a", now).is_none());
        assert!(pool.take("b", now).is_some() && pool.take("c", now).is_none());
        assert!(!pool.ended(done("a")));
        assert_eq!(pool.free(), 0);
        assert_eq!(pool.next_reports().map(|reports| reports.len()), Some(1));
        assert!(!pool.ended(done("b")));
        assert_eq!(pool.next_reports(), None, "one batch at a time");
        pool.answered("a", true);
        assert_eq!(pool.free(), 1);
        assert_eq!(
            pool.next_reports().map(|reports| reports[0].token.clone()),
            Some("b".into())
        );
        pool.unsend();
        assert_eq!(pool.next_reports().map(|reports| reports.len()), Some(1), "sent again");
        pool.answered("b", true);
        assert!(pool.is_empty());
    }

    #[test]
    fn a_lost_lease_is_stopped_and_never_reported() {
        let now = Instant::now();
        let lease = Duration::from_secs(15);
        let mut pool = Pool::new(3);
        let (lost, _) = pool.take("lost", now).expect("slot");
        let (kept, _seen) = pool.take("kept", now).expect("slot");
        pool.direct("lost", Action::Continue, None);
        pool.direct("kept", Action::Continue, Some(now + lease));
        assert_eq!(pool.expire(lease, now + lease), 1);
        assert_eq!(pool.expire(lease, now + lease), 0);
        assert!(lost.is_cancelled() && !kept.is_cancelled());
        pool.direct("lost", Action::Cancel, Some(now));
        assert!(
            pool.ended(report("lost", Outcome::Cancelled)),
            "cancel does not outdo the loss"
        );
        assert_eq!(pool.next_reports(), None);
        pool.stop("kept", Stop::Release);
        assert!(!pool.ended(report("kept", Outcome::Cancelled)));
        let reports = pool.next_reports().expect("reports");
        assert!(matches!(reports[0].outcome, Some(task_report::Outcome::Released(_))));
    }

    #[test]
    fn what_was_given_up_is_told_as_received_until_the_session_ends() {
        let now = Instant::now();
        let mut pool = Pool::new(3);
        for token in ["runs", "given up", "answered"] {
            pool.take(token, now).expect("slot");
        }
        pool.stop("given up", Stop::Lost);
        assert!(pool.ended(report("given up", Outcome::Cancelled)));
        pool.ended(done("answered"));
        pool.next_reports();
        let received = |pool: &Pool| pool.received().map(|tokens| tokens.len());
        assert_eq!(received(&pool), Some(3));
        pool.answered("answered", false);
        assert_eq!(received(&pool), Some(3), "what made it stale may not be stored");
        pool.take("accepted", now).expect("slot");
        pool.ended(done("accepted"));
        pool.next_reports();
        pool.answered("accepted", true);
        assert_eq!(received(&pool), Some(3), "of that the server knows");
        for number in 0..=MAX_RECEIVED {
            pool.give_up(&number.to_string());
        }
        assert_eq!(received(&pool), None, "nothing is better than not all");
        pool.begins_anew();
        assert_eq!(received(&pool), Some(1));
    }

    #[test]
    fn large_outputs_go_in_several_messages() {
        let now = Instant::now();
        let mut pool = Pool::new(8);
        for token in ["a", "b", "c", "d"] {
            pool.take(token, now).expect("slot");
            pool.ended(report(token, Outcome::Succeeded("x".repeat(900 << 10))));
        }
        assert_eq!(pool.next_reports().map(|reports| reports.len()), Some(2));
    }
}
