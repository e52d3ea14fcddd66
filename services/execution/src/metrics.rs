//! The service's metrics: names, help and the few places that record them.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::store::Change;

const STARTED: &str = "nexus_executions_started_total";
const LEASED: &str = "nexus_tasks_leased_total";
const REPORTED: &str = "nexus_task_reports_total";
const LOST: &str = "nexus_attempts_lost_total";
const OFFERED_AGAIN: &str = "nexus_tasks_offered_again_total";
const COMMITS: &str = "nexus_commits_total";
const COMMIT_ROWS: &str = "nexus_commit_rows_total";
const COMMIT_SECONDS: &str = "nexus_commit_duration_seconds";
const COMMIT_SIZE: &str = "nexus_commit_executions";
const COMMIT_FAILED: &str = "nexus_commit_failures_total";

const SHARDS: &str = "nexus_shards_owned";
const SHUT_OUT: &str = "nexus_owner_shut_out_total";

/// Describes every metric; to be called once at the start.
pub fn describe() {
    describe_counter!(STARTED, "Executions accepted.");
    describe_counter!(LEASED, "Attempts leased to workers.");
    describe_counter!(REPORTED, "Reports of attempts, by whether they were recorded.");
    describe_counter!(LOST, "Attempts that ended without a report.");
    describe_counter!(
        OFFERED_AGAIN,
        "Ready tasks that nobody took and that were offered again."
    );
    describe_counter!(COMMITS, "Group commits.");
    // There from the start, so that whoever reads a difference has two values.
    counter!(COMMITS).absolute(0);
    counter!(COMMIT_ROWS).absolute(0);
    describe_counter!(
        COMMIT_ROWS,
        "Executions, tasks and events that were written by group commits."
    );
    describe_histogram!(COMMIT_SECONDS, "Time of one group commit.");
    describe_histogram!(COMMIT_SIZE, "Executions in one group commit.");
    describe_gauge!(SHARDS, "Shards whose calls are answered by this replica.");
    describe_counter!(SHUT_OUT, "Times at which this replica found that others had taken its shards.");
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

pub(crate) fn offered_again(tasks: usize) {
    counter!(OFFERED_AGAIN).increment(tasks as u64);
}

pub(crate) fn committed(changes: &[Change], took: Duration) {
    let rows = |change: &Change| 1 + change.tasks.len() + change.events.len();
    counter!(COMMITS).increment(1);
    counter!(COMMIT_ROWS).increment(changes.iter().map(rows).sum::<usize>() as u64);
    let executions = changes.len();
    histogram!(COMMIT_SECONDS).record(took.as_secs_f64());
    histogram!(COMMIT_SIZE).record(f64::from(u32::try_from(executions).unwrap_or(u32::MAX)));
}

pub(crate) fn shards(owned: usize) {
    gauge!(SHARDS).set(f64::from(u32::try_from(owned).unwrap_or(u32::MAX)));
}

pub(crate) fn shut_out() {
    counter!(SHUT_OUT).increment(1);
}

pub(crate) fn commit_failed() {
    counter!(COMMIT_FAILED).increment(1);
}
