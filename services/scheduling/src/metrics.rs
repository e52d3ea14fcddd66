//! Figures of schedules.

use nexus_schedule::SECOND;

use crate::store::{FireRow, Outcome};

const FIRES: &str = "nexus_schedule_fires_total";
const DELAY: &str = "nexus_schedule_fire_delay_seconds";
const BACKLOG: &str = "nexus_schedule_late_seconds";
const STARTS: &str = "nexus_schedule_starts_total";

/// Describes the metrics; to be called once at the start.
pub fn describe() {
    metrics::describe_counter!(FIRES, "Nominal times that were decided, by what became of them.");
    metrics::describe_histogram!(DELAY, "Seconds from the nominal time to the decision.");
    metrics::describe_gauge!(
        BACKLOG,
        "How late the schedule is that has been due for longest; 0 when none is."
    );
    metrics::describe_counter!(
        STARTS,
        "Tries to start an execution, by how they went: started, refused, later."
    );
}

pub(crate) fn decided(fires: &[FireRow]) {
    for fire in fires {
        let outcome = match fire.outcome {
            number if number == Outcome::Starting as i64 => "starting",
            number if number == Outcome::Buffered as i64 => "buffered",
            _ => "skipped",
        };
        metrics::counter!(FIRES, "outcome" => outcome).increment(1);
        metrics::histogram!(DELAY).record((fire.at - fire.key.nominal).max(0) as f64 / SECOND as f64);
    }
}

pub(crate) fn late(micros: i64) {
    metrics::gauge!(BACKLOG).set(micros.max(0) as f64 / SECOND as f64);
}

pub(crate) fn start(how: &'static str) {
    metrics::counter!(STARTS, "result" => how).increment(1);
}
