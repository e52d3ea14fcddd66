//! Processes that are frozen and go on later, believing that nothing has happened.

use std::time::Duration;

use nexus_faults::{MeshArena, MeshTally, eventually, now_ns, whole_set};
use nexus_fleet::Role;
use tokio::time::sleep;

use crate::{Running, shape};

const FROZEN: Duration = Duration::from_secs(20);
/// The shards of a frozen replica are worked on after this at the latest, and the tasks of a frozen worker run again.
const SHARDS: Duration = Duration::from_secs(15);
const SILENT: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_frozen_finds_its_shards_gone_and_writes_nothing() {
    let test = "a_replica_that_was_frozen_finds_its_shards_gone_and_writes_nothing";
    let mut arena = MeshArena::start(shape()).await;
    let mut tally = MeshTally::default();
    let running = Running::begin(&arena, test).await;
    for round in 0..if whole_set() { 4 } else { 1 } {
        arena.some_begin(20).await;
        let number = round % 2;
        let shards = arena.shards_of(number).await;
        let at = now_ns();
        arena.freeze(Role::Execution, number);
        tally.fault("freeze_execution");
        tally.recovered("shards", arena.first_decision(&shards, at + 1_000_000).await);
        let frozen = Duration::from_nanos((now_ns() - at).unsigned_abs());
        sleep(FROZEN.saturating_sub(frozen)).await;
        arena.thaw(Role::Execution, number);
        arena.some_begin(20).await;
        arena.settled().await;
        for took in arena.went_on(&shards, at).await {
            tally.recovered("executions", took);
        }
    }
    running.end(&mut arena, &tally, test).await;
    let slowest = tally.recovery("shards").max();
    assert!(slowest <= SHARDS, "the shards were worked on only after {slowest:?}");
}

/// A worker in the middle of a long task.
pub(crate) async fn busy(arena: &mut MeshArena) -> usize {
    let lives: Vec<String> = (0..4)
        .map(|number| arena.mesh.node(Role::Worker, number).life())
        .collect();
    let naps = |life: &String| arena.open_runs(life).iter().any(|run| run.task == "nap");
    let mut found = None;
    eventually("a worker has a long task", Duration::from_secs(60), async || {
        found = lives.iter().position(naps);
        found.is_some()
    })
    .await;
    found.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_s_tasks_run_again_and_its_late_words_change_nothing() {
    let test = "a_frozen_worker_s_tasks_run_again_and_its_late_words_change_nothing";
    let mut arena = MeshArena::start(shape()).await;
    let mut tally = MeshTally::default();
    let running = Running::begin_with_slow(&arena, test).await;
    for _ in 0..if whole_set() { 4 } else { 1 } {
        let victim = busy(&mut arena).await;
        let life = arena.mesh.node(Role::Worker, victim).life();
        arena.freeze(Role::Worker, victim);
        let at = now_ns();
        tally.fault("freeze_worker");
        // Its tasks are not frozen, and end; nobody hears of it.
        let lost = arena.open_runs(&life);
        let lost: Vec<_> = lost
            .iter()
            .filter(|run| !matches!(run.task.as_str(), "long" | "pay"))
            .collect();
        let begins = || {
            let again = arena.begins().into_iter().filter(|(began, other)| {
                *began > at
                    && lost
                        .iter()
                        .any(|run| (&run.execution, &run.task) == (&other.execution, &other.task))
            });
            again.map(|(began, _)| began).collect::<Vec<_>>()
        };
        eventually("they run again", SILENT * 2, async || begins().len() >= lost.len()).await;
        for began in begins() {
            tally.recovered("tasks", Duration::from_nanos((began - at).unsigned_abs()));
        }
        arena.thaw(Role::Worker, victim);
        arena.some_begin(20).await;
    }
    running.end(&mut arena, &tally, test).await;
    let slowest = tally.recovery("tasks").max();
    assert!(!slowest.is_zero(), "the worker had nothing to lose");
    assert!(slowest <= SILENT, "a task ran again only after {slowest:?}");
}
