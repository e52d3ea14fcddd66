//! The service's metrics: names, help and the few places that record them.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_histogram, histogram};

const STARTED: &str = "nexus_executions_started_total";
const LEASED: &str = "nexus_tasks_leased_total";
const REPORTED: &str = "nexus_task_reports_total";
const LOST: &str = "nexus_attempts_lost_total";
const COMMIT_SECONDS: &str = "nexus_commit_duration_seconds";
const COMMIT_SIZE: &str = "nexus_commit_executions";
const COMMIT_FAILED: &str = "nexus_commit_failures_total";

/// Describes every metric; to be called once at the start.
pub fn describe() {
    describe_counter!(STARTED, "Executions accepted.");
    describe_counter!(LEASED, "Attempts leased to workers.");
    describe_counter!(REPORTED, "Reports of attempts, by whether they were recorded.");
    describe_counter!(LOST, "Attempts that ended without a report.");
    describe_histogram!(COMMIT_SECONDS, "Time of one group commit.");
    describe_histogram!(COMMIT_SIZE, "Executions in one group commit.");
    describe_counter!(COMMIT_FAILED, "Tries to commit that failed and were repeated.");
}

pub(crate) fn started() {
    counter!(STARTED).increment(1);
}

pub(crate) fn leased() {
    counter!(LEASED).increment(1);
}

pub(crate) fn reported(accepted: bool) {
    counter!(REPORTED, "result" => if accepted { "accepted" } else { "stale" }).increment(1);
}

pub(crate) fn lost() {
    counter!(LOST).increment(1);
}

pub(crate) fn committed(executions: usize, took: Duration) {
    histogram!(COMMIT_SECONDS).record(took.as_secs_f64());
    histogram!(COMMIT_SIZE).record(f64::from(u32::try_from(executions).unwrap_or(u32::MAX)));
}

pub(crate) fn commit_failed() {
    counter!(COMMIT_FAILED).increment(1);
}
