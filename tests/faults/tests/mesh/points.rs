//! Kills at the points that must not tear: a replica, or a worker, that joins a mesh under load dies at its first hit.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use nexus_faults::{MeshArena, MeshTally, PAY_FIRST, whole_set};
use nexus_fleet::Role;
use tokio::time::sleep;

use crate::{Running, shape};

/// A point, and the role of the process that passes it.
type Point = (&'static str, Role);

const POINTS: &[Point] = &[
    ("execution::membership::renewed", Role::Execution),
    ("execution::membership::acquired", Role::Execution),
    ("execution::membership::released", Role::Execution),
    ("execution::recover", Role::Execution),
    ("execution::commit::begin", Role::Execution),
    ("execution::commit::done", Role::Execution),
    ("execution::owner::committed", Role::Execution),
    ("execution::owner::released", Role::Execution),
    ("execution::start::received", Role::Execution),
    ("execution::start::committed", Role::Execution),
    ("execution::cancel::committed", Role::Execution),
    ("execution::grant", Role::Execution),
    ("execution::heartbeat", Role::Execution),
    ("execution::logs", Role::Execution),
    ("execution::report::received", Role::Execution),
    ("execution::report::committed", Role::Execution),
    ("worker::spawn", Role::Worker),
    ("worker::ended", Role::Worker),
    ("worker::reported", Role::Worker),
    ("definitions::commit::written", Role::Definitions),
    ("definitions::commit::done", Role::Definitions),
];
/// Those of the short set: a third, of every kind.
const SHORT: &[&str] = &[
    "execution::membership::acquired",
    "execution::membership::released",
    "execution::commit::done",
    "execution::grant",
    "execution::report::committed",
    "worker::ended",
    "definitions::commit::written",
];
/// The shards of a replica that died are worked on after this at the latest.
const SHARDS: Duration = Duration::from_secs(15);
/// Longest wait for a point to be hit.
const HIT: Duration = Duration::from_secs(60);

/// Restarts a node with a point armed, under load, and waits until that has killed it.
async fn die_at(arena: &mut MeshArena, (point, role): Point) {
    let life = arena.mesh.node(role, 0).life();
    arena.mesh.node(role, 0).stop().await.expect("stop");
    arena.mark("ended", &life, "SIGTERM");
    arena.some_begin(5).await;
    arena.revive(role, 0, &format!("{point}=return"));
    let life = arena.mesh.node(role, 0).life();
    let begun = Instant::now();
    let mut nudged = 0_u32;
    let status = loop {
        if let Some(status) = arena.mesh.node(role, 0).ended() {
            break status;
        }
        assert!(
            begun.elapsed() < HIT,
            "{point} was not hit: {}",
            arena.mesh.node(role, 0).said()
        );
        if begun.elapsed() > Duration::from_secs(3) * (nudged + 1) {
            nudge(arena, point, role, nudged).await;
            nudged += 1;
        }
        sleep(Duration::from_millis(5)).await;
    };
    arena.mark("killed", &life, point);
    assert_eq!(status.signal(), Some(9), "{point}: {status}");
}

/// Brings about what the load does not by itself.
async fn nudge(arena: &mut MeshArena, point: &str, role: Role, times: u32) {
    if point == "execution::membership::released" {
        // It gives its shards up when it leaves. Asked twice it would end at once.
        if times == 0 {
            arena.mesh.node(role, 0).terminate();
        }
        return;
    }
    match role {
        // Workers keep their replica; one that starts chooses anew.
        Role::Execution => drop(arena.roll(Role::Worker, times as usize % 4).await),
        // One that is new, so that there is something to commit.
        Role::Definitions => {
            let address = arena.mesh.node(role, 0).address();
            let _refused = arena.load_at(&address, 7).try_apply(&PAY_FIRST).await;
        }
        Role::Worker | Role::Gateway | Role::Access | Role::Scheduling | Role::Notifications => {}
    }
}

/// The points of this run; every second one of them, from the first or the second on.
fn half(first: usize) -> Vec<Point> {
    let wanted = POINTS.iter().filter(|(name, _)| whole_set() || SHORT.contains(name));
    wanted.skip(first).step_by(2).copied().collect()
}

async fn run(points: Vec<Point>, test: &str) {
    let mut arena = MeshArena::start(shape()).await;
    let mut tally = MeshTally::default();
    let running = Running::begin(&arena, test).await;
    for (point, role) in points {
        die_at(&mut arena, (point, role)).await;
        tally.fault(point);
        let at = nexus_faults::now_ns();
        let all: Vec<i16> = (0..64).collect();
        tally.recovered("any_shard", arena.first_decision(&all, at).await);
        arena.revive(role, 0, "");
        arena.mesh.ready().await.expect("ready");
        arena.settled().await;
        arena.some_begin(10).await;
        for took in arena.went_on(&all, at).await {
            tally.recovered("executions", took);
        }
    }
    running.end(&mut arena, &tally, test).await;
    let slowest = tally.recovery("any_shard").max();
    assert!(slowest <= SHARDS, "{slowest:?}");
}

// In two halves, so that both cores have something to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_point_of_a_mesh_breaks_no_promise_first_half() {
    run(half(0), "a_kill_at_any_point_of_a_mesh_breaks_no_promise_first_half").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_point_of_a_mesh_breaks_no_promise_second_half() {
    run(half(1), "a_kill_at_any_point_of_a_mesh_breaks_no_promise_second_half").await;
}
