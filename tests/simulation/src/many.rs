//! Many seeds over all cores, and the hunt for planted bugs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nexus_engine::planted::Bug;

use crate::{Counts, Verdict, simulate};

/// What many seeds gave.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many seeds were simulated.
    pub seeds: u64,
    /// Those that broke a promise, by seed.
    pub failed: Vec<Verdict>,
    /// What happened in all of them.
    pub counts: Counts,
}

/// Simulates the seeds `from..from + seeds` on so many threads; with `first` it ends at the first breach.
#[must_use]
pub fn run(from: u64, seeds: u64, threads: usize, bug: Option<Bug>, first: bool) -> Summary {
    let next = AtomicU64::new(from);
    let over = AtomicBool::new(false);
    let summary = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let verdict = simulate(seed, bug, false);
                    let mut summary = summary.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    summary.seeds += 1;
                    summary.counts.add(&verdict.counts);
                    if !verdict.breaches.is_empty() {
                        summary.failed.push(verdict);
                        over.store(first, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    summary.failed.sort_by_key(|verdict| verdict.seed);
    summary
}

/// How a hunt for a planted bug ended.
#[derive(Debug)]
pub struct Hunt {
    /// The bug.
    pub bug: Bug,
    /// Seeds until it was caught, or all that were tried.
    pub seeds: u64,
    /// The breach that gave it away.
    pub caught: Option<String>,
}

/// Plants a bug and simulates until it is caught, `limit` seeds at most.
#[must_use]
pub fn hunt(bug: Bug, from: u64, limit: u64, threads: usize) -> Hunt {
    let summary = run(from, limit, threads, Some(bug), true);
    let caught = summary
        .failed
        .first()
        .and_then(|verdict| verdict.breaches.first().cloned());
    Hunt {
        bug,
        seeds: summary.seeds,
        caught,
    }
}

/// Panics of simulated bugs are breaches, and told as such: they need no trace of their own.
pub fn silence_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}
