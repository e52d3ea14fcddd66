//! How many tasks the worker asks for. Slots are for running: one is asked for again as soon as its task has ended, while
//! the report is still being stored. Where tasks are short, what follows a report arrives one round trip later, and so
//! long the slot would stand empty: then the worker asks for as many more as end within a round trip (Little's law, J. D.
//! C. Little, "A proof for the queuing formula L = λW", 1961). What comes too early waits for a slot, for a moment; see
//! [`crate::slots`]. Pure: time is a parameter.

use std::time::Duration;

use tokio::time::Instant;

/// What is asked for beyond the slots, as a multiple of them at most.
const MOST_AHEAD: usize = 3;
/// Ends that are this long ago hardly count.
const MEMORY: Duration = Duration::from_millis(100);
/// Round trips longer than this say that something is wrong, not that more should be asked for.
const LONGEST_TRIP: Duration = Duration::from_millis(250);

/// What has been asked for, and how fast tasks end.
#[derive(Debug)]
pub(crate) struct Window {
    slots: usize,
    /// Tasks that were asked for and have not come. Negative when more came: the server may send one more than it was
    /// asked for, and takes the next that it is asked for as the payment of that. Both must count in the same way, or a
    /// slot would stand empty for good.
    asked: i64,
    /// Ends a second, the older ones counting less and less, as it was at `measured`.
    rate: f64,
    measured: Option<Instant>,
    /// When the reports went out that are under way.
    sent: Option<Instant>,
    /// From a report to its answer, smoothed; in seconds.
    trip: f64,
}

impl Window {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            slots,
            asked: 0,
            rate: 0.0,
            measured: None,
            sent: None,
            trip: 0.0,
        }
    }

    /// A stream was opened with so many free slots; what was asked for over the one before is void.
    pub(crate) fn opened(&mut self, free: usize) {
        self.asked = signed(free);
        self.sent = None;
    }

    /// Tasks have come.
    pub(crate) fn came(&mut self, tasks: usize) {
        self.asked = self.asked.saturating_sub(signed(tasks));
    }

    /// A task has ended.
    pub(crate) fn ended(&mut self, now: Instant) {
        self.rate = self.rate_at(now) + 1.0 / MEMORY.as_secs_f64();
        self.measured = Some(now);
    }

    /// Reports go out.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.sent = Some(now);
    }

    /// They were answered.
    pub(crate) fn answered(&mut self, now: Instant) {
        if let Some(sent) = self.sent.take() {
            let trip = now.duration_since(sent).min(LONGEST_TRIP).as_secs_f64();
            self.trip = if self.trip == 0.0 {
                trip
            } else {
                self.trip.mul_add(0.8, trip * 0.2)
            };
        }
    }

    /// Slots that nothing runs in and nobody was asked to fill, when `held` attempts run or wait for a slot.
    pub(crate) fn vacant(&self, held: usize) -> usize {
        self.missing(self.slots, held)
    }

    /// What has to be asked for so that as many are held or asked for.
    fn missing(&self, wanted: usize, held: usize) -> usize {
        let missing = signed(wanted).saturating_sub(signed(held)).saturating_sub(self.asked);
        usize::try_from(missing).unwrap_or(0)
    }

    /// As many tasks as to ask for now that something is said to the server anyway; they count as asked for.
    pub(crate) fn ask(&mut self, held: usize, now: Instant) -> usize {
        let more = self.missing(self.slots + self.ahead(now), held);
        self.asked = self.asked.saturating_add(signed(more));
        more
    }

    /// Attempts that may be held at a time, however much was asked for.
    pub(crate) fn room(&self) -> usize {
        self.slots * (1 + MOST_AHEAD)
    }

    /// Tasks that end within a round trip.
    fn ahead(&self, now: Instant) -> usize {
        let within = self.rate_at(now) * self.trip;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "neither factor is negative, and the product is cut to a small bound"
        )]
        let ahead = within.min(1e6) as usize;
        ahead.min(self.slots * MOST_AHEAD)
    }

    fn rate_at(&self, now: Instant) -> f64 {
        self.measured.map_or(0.0, |measured| {
            let age = now.duration_since(measured).as_secs_f64() / MEMORY.as_secs_f64();
            self.rate * (-age).exp()
        })
    }
}

fn signed(tasks: usize) -> i64 {
    i64::try_from(tasks).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_slot_is_asked_for_again_when_its_task_has_ended() {
        let now = Instant::now();
        let mut window = Window::new(4);
        window.opened(4);
        assert_eq!(window.vacant(0), 0, "all are asked for");
        window.came(4);
        assert_eq!(window.vacant(4), 0);
        window.ended(now);
        assert_eq!(window.vacant(3), 1, "nobody has to answer for that");
        assert_eq!((window.ask(3, now), window.vacant(3)), (1, 0));
        window.came(2);
        assert_eq!(window.vacant(5), 0, "one too many has come");
        // The server counts that one as owed, so the worker must ask for it before it gets another one.
        assert_eq!(window.ask(4, now), 1, "what pays for it");
        assert_eq!(
            (window.ask(3, now), window.vacant(3)),
            (1, 0),
            "and one for the free slot"
        );
    }

    #[test]
    fn both_sides_count_the_same_however_often_one_too_many_comes() {
        let now = Instant::now();
        let (mut window, slots) = (Window::new(4), 4);
        window.opened(slots);
        let (mut credits, mut held) = (signed(slots), 0_usize);
        for round in 0..100 {
            // The server sends what it owes, and in every third round one more.
            let sent = credits.max(0) + i64::from(round % 3 == 0);
            credits -= sent;
            let sent = usize::try_from(sent).expect("not negative");
            window.came(sent);
            held += sent;
            held -= held.min(1 + round % 4);
            credits += signed(window.ask(held, now));
            assert_eq!(
                signed(held) + credits,
                signed(slots),
                "round {round}: every slot is used or asked for"
            );
        }
    }

    #[test]
    fn long_tasks_are_never_asked_for_ahead() {
        let start = Instant::now();
        let mut window = Window::new(16);
        window.opened(16);
        window.came(16);
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            window.sent(now);
            window.ended(now);
            window.answered(now + 50 * MS);
            assert_eq!(window.ask(15, now + 50 * MS), 1);
            window.came(1);
        }
    }

    #[test]
    fn where_tasks_are_short_what_ends_within_a_round_trip_is_asked_for_ahead_within_a_bound() {
        let start = Instant::now();
        let mut window = Window::new(16);
        window.opened(16);
        window.came(16);
        let mut now = start;
        for _ in 0..400 {
            now += MS;
            window.ended(now);
            window.ended(now);
        }
        assert_eq!(window.ask(16, now), 0, "nobody knows yet how long an answer takes");
        window.sent(now);
        window.answered(now + 5 * MS);
        let ahead = window.ask(16, now);
        assert!((8..=12).contains(&ahead), "2,000 a second for 5 ms: {ahead}");
        assert_eq!(window.ask(16, now), 0, "asked for already");
        window.came(ahead);
        window.sent(now);
        window.answered(now + Duration::from_secs(60));
        for _ in 0..20 {
            window.sent(now);
            window.answered(now + Duration::from_secs(60));
        }
        assert_eq!(window.ask(16, now), 48, "bounded, however slow the answer");
        window.came(48);
        assert_eq!(window.ask(16, now + Duration::from_secs(2)), 0, "it is forgotten soon");
        assert_eq!(window.room(), 64);
    }
}
