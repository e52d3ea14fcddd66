//! The worker's metrics: names, help and the few places that record them.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const ATTEMPTS: &str = "nexus_task_attempts_total";
const ATTEMPT_SECONDS: &str = "nexus_task_duration_seconds";
const SLOTS: &str = "nexus_worker_slots";
const CONNECTS: &str = "nexus_worker_connects_total";
const EXPIRED: &str = "nexus_lease_expired_total";
const LOG_LINES_DROPPED: &str = "nexus_worker_log_lines_dropped_total";

/// Describes every metric; to be called once at the start.
pub fn describe() {
    describe_counter!(ATTEMPTS, "Attempts that ended, by kind and outcome.");
    describe_histogram!(
        ATTEMPT_SECONDS,
        "Time from the lease's arrival to the attempt's end, by kind."
    );
    describe_gauge!(SLOTS, "Slots of the worker, by state: busy ones run an attempt.");
    describe_counter!(CONNECTS, "Sessions that the worker opened.");
    describe_counter!(EXPIRED, "Attempts stopped because their lease could not be extended.");
    describe_counter!(LOG_LINES_DROPPED, "Log lines that could not be delivered.");
}

pub(crate) fn attempt(kind: &'static str, outcome: &'static str, took: Duration) {
    counter!(ATTEMPTS, "kind" => kind, "outcome" => outcome).increment(1);
    histogram!(ATTEMPT_SECONDS, "kind" => kind).record(took);
}

pub(crate) fn slots(total: u32, busy: usize) {
    let busy = u32::try_from(busy).unwrap_or(u32::MAX);
    gauge!(SLOTS, "state" => "busy").set(busy);
    gauge!(SLOTS, "state" => "free").set(total.saturating_sub(busy));
}

pub(crate) fn connected() {
    counter!(CONNECTS).increment(1);
}

pub(crate) fn expired() {
    counter!(EXPIRED).increment(1);
}

pub(crate) fn log_lines_dropped(lines: usize) {
    counter!(LOG_LINES_DROPPED).increment(lines as u64);
}
