//! The metrics of secrets.

use metrics::{counter, describe_counter};

const RESOLVED: &str = "nexus_secrets_resolved_total";

/// Describes the metrics.
pub(super) fn describe() {
    describe_counter!(RESOLVED, "Secrets that services asked for, by what they got.");
}

/// What became of a secret that was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Given,
    Absent,
    KeyMissing,
    Damaged,
}

pub(super) fn resolved(outcome: Outcome) {
    let outcome = match outcome {
        Outcome::Given => "given",
        Outcome::Absent => "absent",
        Outcome::KeyMissing => "key_missing",
        Outcome::Damaged => "damaged",
    };
    counter!(RESOLVED, "outcome" => outcome).increment(1);
}
