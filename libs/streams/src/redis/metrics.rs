//! The dispatcher's metrics.

use metrics::{counter, describe_counter, describe_gauge, gauge};

const PUBLISHED: &str = "nexus_dispatch_published_total";
const TAKEN: &str = "nexus_dispatch_taken_total";
const DIRECT: &str = "nexus_dispatch_direct_total";
const CLAIMED: &str = "nexus_dispatch_claimed_total";
const SETTLED: &str = "nexus_dispatch_settled_total";
const COMMANDS: &str = "nexus_dispatch_commands_total";
const AWAY: &str = "nexus_dispatch_away";
const LOSSES: &str = "nexus_dispatch_losses_total";

/// Describes every metric.
pub(super) fn describe() {
    describe_counter!(PUBLISHED, "Attempts offered through the queues.");
    describe_counter!(
        TAKEN,
        "Attempts that this replica took from the queues for its workers."
    );
    describe_counter!(DIRECT, "Attempts handed over within the replica, without Redis.");
    describe_counter!(CLAIMED, "Attempts claimed from readers that died.");
    describe_counter!(SETTLED, "Entries that need not come again.");
    describe_counter!(COMMANDS, "Commands sent to Redis.");
    describe_gauge!(AWAY, "1 while this replica does without Redis.");
    describe_counter!(
        LOSSES,
        "Times at which entries may have been lost, and everything ready was offered again."
    );
}

pub(super) fn published(number: usize) {
    counter!(PUBLISHED).increment(number as u64);
}

pub(super) fn taken(number: usize) {
    counter!(TAKEN).increment(number as u64);
}

pub(super) fn direct(number: usize) {
    counter!(DIRECT).increment(number as u64);
}

pub(super) fn claimed(number: usize) {
    counter!(CLAIMED).increment(number as u64);
}

pub(super) fn settled(number: usize) {
    counter!(SETTLED).increment(number as u64);
}

pub(super) fn commands(number: usize) {
    counter!(COMMANDS).increment(number as u64);
}

pub(super) fn away(is: bool) {
    gauge!(AWAY).set(f64::from(u8::from(is)));
}

pub(super) fn losses(number: usize) {
    counter!(LOSSES).increment(number as u64);
}
