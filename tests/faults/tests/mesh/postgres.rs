//! Postgres restarted under load, and its backends ended one by one.

use std::time::Duration;

use nexus_faults::{MeshArena, MeshTally, now_ns, whole_set};
use sqlx::Row;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::{Running, shape};

/// Work goes on after this at the latest once Postgres takes connections.
const BOUND: Duration = Duration::from_secs(5);

/// Ends up to two of NEXUS's backends; how many.
pub(crate) async fn end_backends(arena: &MeshArena) -> usize {
    let rows = arena
        .ask(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
             WHERE application_name LIKE 'nexus-%' ORDER BY random() LIMIT 2) AS chosen",
        )
        .await;
    rows.iter().filter(|row| row.get(0)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_may_be_restarted_and_its_backends_ended() {
    let test = "postgres_may_be_restarted_and_its_backends_ended";
    let mut arena = MeshArena::start(shape()).await;
    let mut tally = MeshTally::default();
    let running = Running::begin(&arena, test).await;
    for _ in 0..if whole_set() { 12 } else { 3 } {
        arena.some_begin(10).await;
        block_in_place(|| arena.mesh.postgres().stop());
        tally.fault("restart_postgres");
        sleep(Duration::from_secs(1)).await;
        block_in_place(|| arena.mesh.postgres().resume()).expect("postgres");
        tally.recovered("after_a_restart", arena.first_begin(now_ns()).await);
    }
    arena.some_begin(10).await;
    let from = now_ns();
    for _ in 0..if whole_set() { 150 } else { 40 } {
        for _ in 0..end_backends(&arena).await {
            tally.fault("end_of_a_backend");
        }
        sleep(Duration::from_millis(250)).await;
    }
    tally.recovered("longest_pause_while_backends_end", arena.longest_pause(from, now_ns()));
    running.end(&mut arena, &tally, test).await;
    assert!(tally.hits() > 20);
    for what in ["after_a_restart", "longest_pause_while_backends_end"] {
        let slowest = tally.recovery(what).max();
        assert!(slowest <= BOUND, "{what}: {slowest:?}");
    }
}
