//! `kill -9` of execution replicas and of workers, in the middle of their work.

use std::time::Duration;

use nexus_faults::{MeshArena, MeshTally, eventually, whole_set};
use nexus_fleet::Role;

use crate::{Running, shape};

/// The shards of a replica that died are worked on after this at the latest.
const SHARDS: Duration = Duration::from_secs(15);
/// A killed worker's tasks run again after this at the latest: its stream breaks.
const BROKEN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_s_shards_move_and_running_tasks_go_on() {
    let test = "a_killed_replica_s_shards_move_and_running_tasks_go_on";
    let mut arena = MeshArena::start(shape()).await;
    let mut tally = MeshTally::default();
    let mut running = Running::begin_with_far(&arena, test).await;
    running.load.apply(crate::SLOW_MIX).await;
    running.clients.extend(running.load.run(2, crate::SLOW_MIX, 2));
    let _outside = [arena.outside(1, "poll"), arena.outside(2, "stream")];
    for round in 0..if whole_set() { 8 } else { 2 } {
        arena.some_begin(20).await;
        let number = round % 2;
        let shards = arena.shards_of(number).await;
        assert!(!shards.is_empty(), "the victim owns nothing");
        let at = arena.kill(Role::Execution, number);
        tally.fault("kill_execution");
        tally.recovered("shards", arena.first_decision(&shards, at).await);
        arena.some_begin(20).await;
        arena.revive(Role::Execution, number, "");
        arena.mesh.ready().await.expect("ready");
        arena.settled().await;
        for took in arena.went_on(&shards, at).await {
            tally.recovered("executions", took);
        }
    }
    let findings = running.end(&mut arena, &tally, test).await;
    assert!(findings.counter("shards_changed_hands") >= 64, "shards moved");
    let slowest = tally.recovery("shards").max();
    assert!(slowest <= SHARDS, "the shards were worked on only after {slowest:?}");
    // A worker outside begins anew when its replica dies; those of NEXUS go on with what they have.
    let repeats: Vec<String> = arena.needless_repeats();
    let repeats: Vec<&String> = repeats.iter().filter(|repeat| !repeat.contains("outside-")).collect();
    assert!(
        repeats.is_empty(),
        "tasks ran again although their worker lives: {repeats:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_s_tasks_run_again_at_once() {
    let test = "a_killed_worker_s_tasks_run_again_at_once";
    let mut arena = MeshArena::start(shape()).await;
    let mut tally = MeshTally::default();
    let running = Running::begin_with_slow(&arena, test).await;
    for _ in 0..if whole_set() { 16 } else { 4 } {
        let number = crate::freezes::busy(&mut arena).await;
        let life = arena.mesh.node(Role::Worker, number).life();
        let at = arena.kill(Role::Worker, number);
        tally.fault("kill_worker");
        let lost = arena.open_runs(&life);
        // Those that somebody cancels or that must not run twice do not come again, nor those that lost five workers.
        let lost = lost
            .into_iter()
            .filter(|run| !matches!(run.task.as_str(), "long" | "pay") && run.attempt < 5);
        for run in lost {
            let again = |(began, other): &(i64, nexus_verify::witness::Run)| {
                *began > at && (&other.execution, &other.task) == (&run.execution, &run.task)
            };
            let mut found = None;
            eventually("it runs again", Duration::from_secs(60), async || {
                found = arena.begins().into_iter().find(|begin| again(begin));
                found.is_some()
            })
            .await;
            let took = found.map_or(0, |(began, _)| began - at);
            tally.recovered("tasks", Duration::from_nanos(took.unsigned_abs()));
        }
        arena.revive(Role::Worker, number, "");
        arena.mesh.ready().await.expect("ready");
    }
    let findings = running.end(&mut arena, &tally, test).await;
    assert!(findings.counter("infra_losses") > 0, "no attempt was interrupted");
    let slowest = tally.recovery("tasks").max();
    assert!(slowest <= BROKEN, "a task ran again only after {slowest:?}");
}
