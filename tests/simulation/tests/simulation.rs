//! A fixed budget of seeds without a breach, faults that really hit, and planted bugs that are really caught.

use nexus_engine::planted::Bug;
use nexus_simulation::{many, simulate};

/// Seeds of every run of the tests. `make simulate SEEDS=…` runs any number of others.
const SEEDS: u64 = 10_000;
/// Seeds within which every planted bug must be caught.
const HUNT: u64 = 10_000;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

#[test]
fn no_seed_breaks_a_promise_and_every_fault_hit() {
    let summary = many::run(0, SEEDS, threads(), None, false);
    let failed: Vec<String> = summary
        .failed
        .iter()
        .take(5)
        .map(|verdict| format!("seed {}: {:?}", verdict.seed, verdict.breaches))
        .collect();
    assert!(failed.is_empty(), "{} seeds failed: {failed:#?}", summary.failed.len());
    assert_eq!(summary.seeds, SEEDS);
    for (name, count) in summary.counts.named() {
        assert!(count > 0, "it never happened that: {name}");
    }
}

#[test]
fn every_planted_bug_is_caught() {
    many::silence_panics();
    assert!(Bug::ALL.len() >= 15);
    let missed: Vec<Bug> = Bug::ALL
        .iter()
        .map(|bug| many::hunt(*bug, 0, HUNT, threads()))
        .filter(|hunt| hunt.caught.is_none())
        .map(|hunt| hunt.bug)
        .collect();
    assert!(missed.is_empty(), "these bugs passed {HUNT} seeds unseen: {missed:?}");
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..200 {
        let (first, second) = (simulate(seed, None, false), simulate(seed, None, false));
        assert_eq!(first.counts, second.counts, "seed {seed}");
    }
    let bug = Some(Bug::LossSpendsAttempt);
    let caught = many::hunt(Bug::LossSpendsAttempt, 0, HUNT, 1).seeds - 1;
    let (first, second) = (simulate(caught, bug, false), simulate(caught, bug, false));
    assert!(!first.breaches.is_empty());
    assert_eq!(first.breaches, second.breaches, "the same breach, word for word");
}
