//! The owner's metrics: names, help and the few places that record them.

use std::collections::HashMap;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use nexus_engine::{ExecutionState, Fact};
use nexus_execution_store::Change;

const STARTED: &str = "nexus_executions_started_total";
const FINISHED: &str = "nexus_executions_finished_total";
const EXECUTION_SECONDS: &str = "nexus_execution_duration_seconds";
const TASKS_FINISHED: &str = "nexus_tasks_finished_total";
const WAIT_SECONDS: &str = "nexus_task_schedule_to_start_seconds";
const LEASED: &str = "nexus_tasks_leased_total";
const REPORTED: &str = "nexus_task_reports_total";
const LOST: &str = "nexus_attempts_lost_total";
const UNHEARD: &str = "nexus_leases_unheard_total";
const BACKLOG: &str = "nexus_queue_backlog_tasks";
const OLDEST: &str = "nexus_queue_oldest_task_age_seconds";
const OFFERED_AGAIN: &str = "nexus_dispatch_redrive_total";
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
    describe_counter!(FINISHED, "Executions that became terminal, by state.");
    describe_histogram!(
        EXECUTION_SECONDS,
        "Time from an execution's acceptance to its end, by state."
    );
    describe_counter!(TASKS_FINISHED, "Tasks that became terminal, by state.");
    describe_histogram!(WAIT_SECONDS, "Time that a ready task waited for a worker.");
    describe_counter!(LEASED, "Attempts leased to workers.");
    describe_counter!(REPORTED, "Reports of attempts, by whether they were recorded.");
    describe_counter!(LOST, "Attempts that ended without a report.");
    describe_counter!(
        UNHEARD,
        "Leases that were lost on the way to their workers and given out again, unbegun."
    );
    describe_gauge!(
        BACKLOG,
        "Tasks of this replica's shards that wait for a worker (`ready`) or that one has (`leased`), by queue."
    );
    describe_gauge!(
        OLDEST,
        "How long the oldest task of this replica's shards has waited for a worker, by queue."
    );
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
    describe_counter!(
        SHUT_OUT,
        "Times at which this replica found that others had taken its shards."
    );
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

pub(crate) fn unheard() {
    counter!(UNHEARD).increment(1);
}

/// What waits and runs in a queue; `oldest` in microseconds.
pub(crate) fn backlog(queue: &str, ready: u64, leased: u64, oldest: i64) {
    for (state, tasks) in [("ready", ready), ("leased", leased)] {
        let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
        gauge!(BACKLOG, "queue" => queue.to_owned(), "state" => state).set(f64::from(tasks));
    }
    gauge!(OLDEST, "queue" => queue.to_owned()).set(seconds(0, oldest));
}

pub(crate) fn offered_again(tasks: usize) {
    counter!(OFFERED_AGAIN).increment(tasks as u64);
}

pub(crate) fn committed(changes: &[Change], took: Duration) {
    let rows = |change: &Change| 1 + change.tasks.len() + change.events.len();
    counter!(COMMITS).increment(1);
    counter!(COMMIT_ROWS).increment(changes.iter().map(rows).sum::<usize>() as u64);
    changes.iter().for_each(told);
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

/// Counts what a stored change tells. Facts are stored once, so nothing is counted twice.
fn told(change: &Change) {
    let mut ready: Option<HashMap<u32, Option<i64>>> = None;
    for event in &change.events {
        match &event.fact {
            Fact::ExecutionFinished { state, .. } => {
                let state = label(*state);
                counter!(FINISHED, "state" => state).increment(1);
                histogram!(EXECUTION_SECONDS, "state" => state).record(seconds(change.execution.created_at, event.at));
            }
            Fact::TaskFinished { state, .. } => counter!(TASKS_FINISHED, "state" => state.name()).increment(1),
            Fact::TaskStarted { task, .. } => {
                let rows = change.tasks.iter();
                let ready = ready.get_or_insert_with(|| rows.map(|row| (row.position, row.ready_at)).collect());
                if let Some(Some(ready)) = ready.get(&task.number()) {
                    histogram!(WAIT_SECONDS).record(seconds(*ready, event.at));
                }
            }
            _ => {}
        }
    }
}

/// Seconds between two times in microseconds; none when the clock was set back.
pub fn seconds(from: i64, to: i64) -> f64 {
    let micros = u64::try_from(to - from).unwrap_or_default();
    Duration::from_micros(micros).as_secs_f64()
}

fn label(state: ExecutionState) -> &'static str {
    match state {
        ExecutionState::Pending => "PENDING",
        ExecutionState::Running => "RUNNING",
        ExecutionState::Paused => "PAUSED",
        ExecutionState::Cancelling => "CANCELLING",
        ExecutionState::Succeeded => "SUCCEEDED",
        ExecutionState::Failed => "FAILED",
        ExecutionState::Cancelled => "CANCELLED",
        ExecutionState::TimedOut => "TIMED_OUT",
    }
}

pub(crate) fn commit_failed() {
    counter!(COMMIT_FAILED).increment(1);
}
