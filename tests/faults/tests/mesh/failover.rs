//! Postgres and Redis are lost for good, and standbys take over.

use std::time::Duration;

use nexus_faults::{MeshArena, MeshTally, now_ns, whole_set};
use nexus_fleet::{Loss, Shape};
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::{Running, shape};

/// Work goes on after this at the latest once a standby has taken over.
const BOUND: Duration = Duration::from_secs(16);
/// How long it takes until somebody lets the standby take over.
const NOTICED: Duration = Duration::from_secs(3);

fn with_standbys() -> Shape {
    Shape {
        standbys: true,
        ..shape()
    }
}

/// One of each in the short set.
fn losses() -> Vec<Loss> {
    [Loss::Killed, Loss::Vanished].repeat(if whole_set() { 4 } else { 1 })
}

fn name(loss: Loss) -> &'static str {
    match loss {
        Loss::Killed => "killed",
        Loss::Vanished => "vanished",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_may_fail_over_to_a_standby_that_commits_wait_for() {
    let test = "postgres_may_fail_over_to_a_standby_that_commits_wait_for";
    let mut arena = MeshArena::start(with_standbys()).await;
    let mut tally = MeshTally::default();
    let running = Running::begin(&arena, test).await;
    for loss in losses() {
        let standby = arena.mesh.postgres_standby().await.expect("a standby");
        arena.some_begin(10).await;
        arena.mesh.lose_postgres(loss);
        tally.fault(format!("postgres_{}", name(loss)));
        sleep(NOTICED).await;
        arena.mesh.promote_postgres(standby).await.expect("promote");
        tally.recovered(name(loss), arena.first_begin(now_ns()).await);
        arena.some_begin(30).await;
    }
    running.end(&mut arena, &tally, test).await;
    for loss in losses() {
        let slowest = tally.recovery(name(loss)).max();
        assert!(slowest <= BOUND, "{loss:?}: {slowest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_fail_over_to_a_replica_that_lags_behind() {
    let test = "redis_may_fail_over_to_a_replica_that_lags_behind";
    let mut arena = MeshArena::start(with_standbys()).await;
    let mut tally = MeshTally::default();
    let running = Running::begin(&arena, test).await;
    for loss in losses() {
        let replica = arena.mesh.redis_replica().expect("a replica");
        arena.some_begin(10).await;
        // What is published from now on never gets to it; what is taken and settled from now on it has all the same.
        block_in_place(|| replica.promote()).expect("it follows no more");
        sleep(Duration::from_secs(1)).await;
        arena.mesh.lose_redis(loss);
        tally.fault(format!("redis_{}", name(loss)));
        let lost = now_ns();
        tally.recovered("fallback", arena.first_begin(lost).await);
        sleep(NOTICED).await;
        arena.mesh.promote_redis(replica).expect("promote");
        tally.recovered(name(loss), arena.first_begin(now_ns()).await);
        arena.some_begin(30).await;
        sleep(Duration::from_secs(2)).await;
        tally.recovered("longest_pause", arena.longest_pause(lost, now_ns()));
    }
    let findings = running.end(&mut arena, &tally, test).await;
    for what in ["fallback", "killed", "vanished", "longest_pause"] {
        let slowest = tally.recovery(what).max();
        assert!(slowest <= BOUND, "{what}: {slowest:?}");
    }
    assert_eq!(findings.counter("infra_losses"), 0, "losing pointers loses no attempt");
    assert_eq!(arena.needless_repeats(), Vec::<String>::new());
}
