//! Another build of NEXUS beside this one: half of the mesh runs it, and a rolling upgrade goes from it to this one and
//! back. `NEXUS_OTHER_BUILD` names its program; `make chaos OTHER=COMMIT` builds one.

use std::path::{Path, PathBuf};

use nexus_faults::{MeshArena, MeshTally};
use nexus_fleet::Role;

use crate::{Running, shape};

/// The other program, where one is given.
fn other() -> Option<PathBuf> {
    let path = std::env::var_os("NEXUS_OTHER_BUILD").map(PathBuf::from)?;
    assert!(
        path.exists(),
        "NEXUS_OTHER_BUILD names {}, which is not there",
        path.display()
    );
    Some(path)
}

/// Lets every node of every role run a program, one after the other.
async fn roll_all(arena: &mut MeshArena, tally: &mut MeshTally, program: &Path, what: &'static str) {
    for role in [Role::Execution, Role::Definitions, Role::Worker] {
        for number in 0..arena.mesh.count(role) {
            arena.some_begin(10).await;
            arena.mesh.node(role, number).run(program);
            let stopped = arena.roll(role, number).await;
            assert_eq!(stopped.code, Some(0), "{what}: {role:?} {number}: {stopped:?}");
            tally.fault(format!("{what}_{}", role.name()));
            tally.recovered("drain", stopped.took);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_side_by_side_and_an_upgrade_and_its_undoing_lose_nothing() {
    let test = "two_builds_side_by_side_and_an_upgrade_and_its_undoing_lose_nothing";
    let Some(other) = other() else {
        eprintln!("{test}: not run, since NEXUS_OTHER_BUILD names no other build");
        return;
    };
    // The database is this build's from the start: whoever upgrades migrates first.
    let mut arena = MeshArena::start_with(shape(), |mesh| {
        for node in mesh.nodes() {
            node.run(&other);
        }
    })
    .await;
    let own = arena.mesh.program().to_owned();
    let mut tally = MeshTally::default();
    let running = Running::begin_with_slow(&arena, test).await;
    roll_all(&mut arena, &mut tally, &own, "upgrade").await;
    // Side by side, and what dies is taken over by the other build, in both directions.
    for (number, program) in [(0, &other), (1, &own), (0, &own), (1, &other)] {
        arena.mesh.node(Role::Execution, number).run(program);
        arena.kill(Role::Execution, number);
        tally.fault("kill_execution");
        arena.some_begin(20).await;
        arena.revive(Role::Execution, number, "");
        arena.mesh.ready().await.expect("ready");
        arena.settled().await;
        arena.some_begin(50).await;
    }
    roll_all(&mut arena, &mut tally, &other, "undo").await;
    let findings = running.end(&mut arena, &tally, test).await;
    assert!(findings.counter("executions") > 50);
}
