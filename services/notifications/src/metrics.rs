//! The metrics of notifications.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use nexus_api::feed::v1::FeedEntry;

const ATTEMPTS: &str = "nexus_notifications_attempts_total";
const OLDEST: &str = "nexus_notifications_oldest_due_seconds";
const LAG: &str = "nexus_notifications_feed_lag_seconds";
const SENDING: &str = "nexus_notifications_sending";

/// Describes the metrics.
pub(crate) fn describe() {
    describe_counter!(
        ATTEMPTS,
        "Messages by kind of channel and what came of an attempt: delivered, retried, dead, suppressed."
    );
    describe_gauge!(
        OLDEST,
        "How long the message is overdue that has waited longest; 0 when none is."
    );
    describe_gauge!(
        LAG,
        "Age of the oldest event that was read last; 0 when there was none to read."
    );
    describe_gauge!(SENDING, "Messages that this process is sending.");
}

pub(crate) fn attempt(kind: &'static str, outcome: &'static str) {
    counter!(ATTEMPTS, "kind" => kind, "outcome" => outcome).increment(1);
}

/// A number of microseconds as seconds.
fn seconds(micros: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "nobody needs microseconds of it")]
    let micros = micros.max(0) as f64;
    micros / 1e6
}

pub(crate) fn oldest(micros: i64) {
    gauge!(OLDEST).set(seconds(micros));
}

pub(crate) fn lag(first: Option<&FeedEntry>, now: i64) {
    let event = first
        .and_then(|entry| entry.events.first())
        .and_then(|event| event.time.as_ref());
    gauge!(LAG).set(seconds(event.map_or(0, |time| now - nexus_api::time::micros(time))));
}

pub(crate) fn sending(count: usize) {
    #[expect(clippy::cast_precision_loss, reason = "it is a small number")]
    gauge!(SENDING).set(count as f64);
}
