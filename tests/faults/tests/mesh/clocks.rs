//! Clocks that are wrong: each process of the mesh has a time of day of its own, up to an hour off, that jumps while it
//! works. Debian's libfaketime stands between the processes and the system's clock.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nexus_faults::{Chance, MeshArena, MeshTally, whole_set};
use nexus_fleet::{Mesh, Node, Role};
use sqlx::Row;
use tokio::time::sleep;

use crate::{Running, shape};

/// How far a clock is off at most, in seconds.
const FAR: i64 = 3_600;
/// The library looks into a clock's file so often, in seconds.
const LOOK: &str = "1";

/// The library that the processes are given.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("/usr/lib");
    let found = folders
        .filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketime.so.1")))
        .find(|path| path.exists());
    found.expect("libfaketime.so.1; scripts/setup.sh installs it (Debian's package libfaketime)")
}

fn clock_of(folder: &Path, node: &Node) -> PathBuf {
    folder.join(format!("{}.clock", node.name()))
}

/// Sets a process's clock so many seconds off; when that is seen, it jumps.
fn set(folder: &Path, node: &Node, seconds: i64) {
    let (clock, new) = (clock_of(folder, node), folder.join("clock.new"));
    // In one step, so that nobody reads half of it.
    std::fs::write(&new, format!("{seconds:+}\n")).expect("a file for the clock");
    std::fs::rename(new, clock).expect("a file for the clock");
}

/// Gives every process a clock of its own, a few minutes off.
fn own_clocks(mesh: &mut Mesh, chance: &mut Chance) {
    let library = library();
    let folder = mesh.folder().to_owned();
    for node in mesh.nodes() {
        set(&folder, node, off(chance) / 12);
        let clock = clock_of(&folder, node);
        node.set("LD_PRELOAD", &library.display().to_string());
        node.set("FAKETIME_TIMESTAMP_FILE", &clock.display().to_string());
        node.set("FAKETIME_CACHE_DURATION", LOOK);
        // What grows steadily is no time of day: the kernel does not let it jump either.
        node.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}

/// Seconds in either direction.
fn off(chance: &mut Chance) -> i64 {
    i64::try_from(chance.below(FAR.unsigned_abs() * 2)).unwrap_or_default() - FAR
}

/// How far apart the replicas' times of day were, in seconds: the rows say when each execution was taken on.
async fn spread(arena: &MeshArena) -> i64 {
    let all = "SELECT (max(created_at) - min(created_at)) / 1000000 FROM execution.executions";
    let rows = arena.ask(all).await;
    let spread = rows.first().and_then(|row| row.get::<Option<i64>, _>(0));
    spread.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_and_jump_by_an_hour_lose_and_double_nothing() {
    let test = "clocks_that_differ_and_jump_by_an_hour_lose_and_double_nothing";
    let mut chance = Chance::of_run(test);
    let mut arena = MeshArena::start_with(shape(), |mesh| own_clocks(mesh, &mut chance)).await;
    arena.wrong_clocks = true;
    let mut tally = MeshTally::default();
    let running = Running::begin_with_slow(&arena, test).await;
    let folder = arena.mesh.folder().to_owned();
    for round in 0..if whole_set() { 60 } else { 8 } {
        arena.some_begin(10).await;
        // Whoever owns shards and judges leases jumps most, one forwards and one back, and in the next round they change.
        let way = if (round / 4) % 2 == 0 { 1 } else { -1 };
        let far = FAR - i64::try_from(chance.below(600)).unwrap_or_default();
        let (role, number, seconds) = match round % 4 {
            0 => (Role::Execution, 0, way * far),
            1 => (Role::Worker, (round / 4) % 4, off(&mut chance)),
            2 => (Role::Execution, 1, -way * far),
            _ => (Role::Definitions, (round / 4) % 2, off(&mut chance)),
        };
        set(&folder, arena.mesh.node(role, number), seconds);
        tally.fault(format!("jump_{}", role.name()));
        sleep(Duration::from_millis(1_500)).await;
    }
    let spread = spread(&arena).await;
    let findings = running.end(&mut arena, &tally, test).await;
    assert!(
        spread > FAR,
        "the clocks were only {spread} s apart: nothing was tested"
    );
    assert!(findings.counter("executions") > 20);
    let needless = arena.needless_repeats();
    assert!(needless.is_empty(), "tasks ran again because of a clock: {needless:#?}");
}
