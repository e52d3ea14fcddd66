//! The real engine, owner, dispatcher and sessions under a seeded scheduler with virtual time.
//!
//! A [`world::World`] holds owners, workers, clients and a store, and lets one thing happen after another, in the order
//! of a virtual clock. Everything that chance decides comes from one seed: what fails, when, and how long anything
//! takes; so a seed that finds a breach replays exactly. The [`checker`] looks at every batch that is stored, every
//! lease that is given and every answer that is sent.

pub mod checker;
pub mod clients;
pub mod counts;
pub mod graphs;
pub mod many;
pub mod oracle;
pub mod owners;
pub mod seats;
pub mod storing;
pub mod workers;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use nexus_engine::planted::{Bug, plant};

pub use counts::Counts;

/// What a seed gave.
#[derive(Debug)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// What was broken; empty when nothing was.
    pub breaches: Vec<String>,
    /// What happened.
    pub counts: Counts,
}

/// Simulates one seed, with a bug planted or without; `trace` writes every step to standard error.
#[must_use]
pub fn simulate(seed: u64, bug: Option<Bug>, trace: bool) -> Verdict {
    plant(bug);
    let result = catch_unwind(AssertUnwindSafe(|| world::World::new(seed, trace).run()));
    plant(None);
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Verdict {
            seed,
            breaches: vec![format!("panic: {}", text.unwrap_or_default())],
            counts: Counts::default(),
        }
    })
}
