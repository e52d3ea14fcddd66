//! The metrics of what the service does beside the owner: the feed, and the removal of old executions.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use nexus_execution_owner::metrics::seconds;

const REMOVED: &str = "nexus_executions_removed_total";
const FEED_READ: &str = "nexus_feed_entries_read_total";
const FEED_REMOVED: &str = "nexus_feed_entries_removed_total";
const FEED_LAG: &str = "nexus_feed_lag_entries";
const FEED_LAG_SECONDS: &str = "nexus_feed_lag_seconds";

/// Describes every metric of the execution service; to be called once at the start.
pub fn describe() {
    nexus_execution_owner::metrics::describe();
    describe_counter!(
        REMOVED,
        "Executions that were removed because they ended long enough ago."
    );
    describe_counter!(FEED_READ, "Entries of the feed that were given to readers, by reader.");
    describe_counter!(
        FEED_REMOVED,
        "Entries of the feed that were removed: `acknowledged` by every reader, or `lost` since they were too old."
    );
    describe_gauge!(
        FEED_LAG,
        "Entries of the feed that a reader has not acknowledged, by reader."
    );
    describe_gauge!(
        FEED_LAG_SECONDS,
        "Age of the oldest entry of the feed that a reader has not acknowledged, by reader."
    );
}

pub(crate) fn removed(executions: u64) {
    counter!(REMOVED).increment(executions);
}

pub(crate) fn feed_read(reader: &str, entries: usize) {
    counter!(FEED_READ, "reader" => reader.to_owned()).increment(entries as u64);
}

pub(crate) fn feed_removed(acknowledged: u64, lost: u64) {
    for (why, entries) in [("acknowledged", acknowledged), ("lost", lost)] {
        counter!(FEED_REMOVED, "why" => why).increment(entries);
    }
}

/// How far a reader is behind; `age` in microseconds.
pub(crate) fn feed_lag(reader: &str, entries: u64, age: i64) {
    let entries = u32::try_from(entries).unwrap_or(u32::MAX);
    gauge!(FEED_LAG, "reader" => reader.to_owned()).set(f64::from(entries));
    gauge!(FEED_LAG_SECONDS, "reader" => reader.to_owned()).set(seconds(0, age));
}
