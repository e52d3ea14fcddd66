//! What a run did and how it ended: one JSON line each.

use std::collections::BTreeMap;
use std::time::Duration;

use nexus_verify::Findings;
use serde_json::{Value, json};

/// Times of recovery.
#[derive(Debug, Default, Clone)]
pub struct Recovery(Vec<Duration>);

impl Recovery {
    /// Notes one.
    pub fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The largest.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.0.iter().max().copied().unwrap_or_default()
    }

    fn told(&self) -> Value {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let millis = |took: Option<&Duration>| took.map(|took| took.as_secs_f64() * 1_000.0).map(f64::round);
        json!({"n": sorted.len(), "p50_ms": millis(sorted.get(sorted.len() / 2)), "max_ms": millis(sorted.last())})
    }
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Tally {
    faults: BTreeMap<&'static str, u64>,
    /// From a death to the next `ready`.
    pub to_ready: Recovery,
    /// From a death to the first task that begins after it.
    pub to_first_task: Recovery,
}

impl Tally {
    /// Notes a fault that really hit.
    pub fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// How many faults hit.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Prints the run's line.
    pub fn print(&self, test: &str, findings: &Findings) {
        let line = json!({
            "test": test,
            "faults": self.faults,
            "recovery": {"to_ready": self.to_ready.told(), "to_first_task": self.to_first_task.told()},
            "verdict": findings.summary(),
        });
        println!("{line}");
    }
}
