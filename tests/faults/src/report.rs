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
        let p99 = sorted.get((sorted.len() * 99).div_ceil(100).saturating_sub(1));
        json!({
            "n": sorted.len(),
            "p50_ms": millis(sorted.get(sorted.len() / 2)),
            "p99_ms": millis(p99),
            "max_ms": millis(sorted.last()),
        })
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

/// What a run of a mesh did.
#[derive(Debug, Default)]
pub struct MeshTally {
    faults: BTreeMap<String, u64>,
    recoveries: BTreeMap<&'static str, Recovery>,
    silent: u64,
}

impl MeshTally {
    /// Notes executions whose tasks tell the witness nothing.
    pub fn begun_in_silence(&mut self, executions: u64) {
        self.silent += executions;
    }

    /// How many there were.
    #[must_use]
    pub fn silent(&self) -> u64 {
        self.silent
    }

    /// Notes a fault that really hit.
    pub fn fault(&mut self, kind: impl Into<String>) {
        *self.faults.entry(kind.into()).or_default() += 1;
    }

    /// How many faults hit.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Notes how long something took to come back.
    pub fn recovered(&mut self, what: &'static str, took: Duration) {
        self.recoveries.entry(what).or_default().add(took);
    }

    /// The times of one kind.
    #[must_use]
    pub fn recovery(&self, what: &str) -> Recovery {
        self.recoveries.get(what).cloned().unwrap_or_default()
    }

    /// Prints the run's line, with the errors that clients saw.
    pub fn print(&self, test: &str, errors: &BTreeMap<String, u64>, findings: &Findings) {
        let recoveries: BTreeMap<&str, Value> = self.recoveries.iter().map(|(what, r)| (*what, r.told())).collect();
        let line = json!({
            "test": test,
            "faults": self.faults,
            "recovery": recoveries,
            "client_errors": errors,
            "verdict": findings.summary(),
        });
        println!("{line}");
    }
}
