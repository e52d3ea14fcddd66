//! Postgres is away for less and for more than a membership lasts, under one, two and three replicas, idle and loaded.
//! What is judged is the first start after it has come back, on every shard, and what the replicas say of themselves.

use std::time::{Duration, Instant};

use futures::future::join_all;
use nexus_faults::{CHAIN, MeshArena, MeshTally, NOTHING, eventually, whole_set};
use nexus_fleet::{Loss, Role, Shape};
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::{Running, shape};

/// Every first start succeeds within this once the database is back.
const BOUND: Duration = Duration::from_secs(5);
const SHARDS: u8 = 64;
/// After so long a replica must not say any more that it is ready.
const MEMBERSHIP: Duration = Duration::from_secs(8);

/// How the database is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    ReadOnly,
    Stopped,
    FailedOver,
}

/// What happens to one mesh: outages of so many seconds, each idle and loaded.
fn lengths() -> &'static [u64] {
    if whole_set() { &[5, 12, 60] } else { &[12] }
}

/// Numbers of replicas; the short set has the one of the fault that was found.
fn replicas(short: usize) -> Vec<usize> {
    if whole_set() { vec![1, 2, 3] } else { vec![short] }
}

/// Makes the database take no writes, or take them again.
pub(crate) async fn set_read_only(arena: &MeshArena, on: bool) {
    let statement = if on {
        "ALTER SYSTEM SET default_transaction_read_only = on"
    } else {
        "ALTER SYSTEM SET default_transaction_read_only = off"
    };
    arena.ask(statement).await;
    arena.ask("SELECT pg_reload_conf()").await;
    let shown = if on { "on" } else { "off" };
    eventually("the setting is heard of", Duration::from_secs(5), async || {
        let rows = arena.ask("SHOW default_transaction_read_only").await;
        rows.first()
            .is_some_and(|row| sqlx::Row::get::<String, _>(row, 0) == shown)
    })
    .await;
}

/// Makes the database go away for so long, and gives when it was back.
async fn away(arena: &mut MeshArena, outage: Outage, length: Duration) -> Instant {
    let standby = match outage {
        Outage::FailedOver => Some(arena.mesh.postgres_standby().await.expect("a standby")),
        _ => None,
    };
    let begun = Instant::now();
    match outage {
        Outage::ReadOnly => set_read_only(arena, true).await,
        Outage::Stopped => block_in_place(|| arena.mesh.postgres().stop()),
        Outage::FailedOver => arena.mesh.lose_postgres(Loss::Killed),
    }
    // What the database still answered while it went away counts.
    let gone = Instant::now();
    while begun.elapsed() < length {
        sleep(Duration::from_millis(250)).await;
        if gone.elapsed() > MEMBERSHIP + Duration::from_secs(2) {
            for number in 0..arena.mesh.count(Role::Execution) {
                let ready = arena.mesh.node(Role::Execution, number).is_ready().await;
                assert!(
                    !ready,
                    "{outage:?}: ready after {:?} without the database",
                    gone.elapsed()
                );
            }
        }
    }
    match (outage, standby) {
        (Outage::ReadOnly, _) => set_read_only(arena, false).await,
        (Outage::FailedOver, Some(standby)) => arena.mesh.promote_postgres(standby).await.expect("promote"),
        _ => block_in_place(|| arena.mesh.postgres().resume()).expect("postgres"),
    }
    Instant::now()
}

/// The slowest of the first starts, one in each shard, which are asked for until they are answered.
async fn first_starts(running: &Running, back: Instant) -> Duration {
    let starts = (0..SHARDS).map(|shard| {
        let load = running.load.clone();
        tokio::spawn(async move { load.started_after(&NOTHING, shard, back).await })
    });
    let starts: Vec<_> = starts.collect();
    let mut slowest = Duration::ZERO;
    for start in starts {
        slowest = slowest.max(start.await.expect("a start"));
    }
    slowest
}

async fn the_first_start_succeeds(test: &str, outage: Outage, short: usize) {
    for execution in replicas(short) {
        let shape = Shape {
            execution,
            standbys: outage == Outage::FailedOver,
            ..shape()
        };
        let mut arena = MeshArena::start(shape).await;
        let mut tally = MeshTally::default();
        let mut running = Running::begin_with(&arena, test, &[CHAIN], 1).await;
        running.load.apply(&[NOTHING]).await;
        for loaded in [false, true] {
            for seconds in lengths() {
                arena.some_begin(5).await;
                if !loaded {
                    running.pause().await;
                }
                // Somebody asks in vain, and what that left behind must not outlive the outage.
                let asked = running.load.clone();
                let in_vain = tokio::spawn(async move {
                    sleep(Duration::from_secs(2)).await;
                    join_all((0..20).map(|_| asked.one(&NOTHING))).await;
                });
                let back = away(&mut arena, outage, Duration::from_secs(*seconds)).await;
                tally.fault(format!("{outage:?}_{seconds}"));
                let slowest = first_starts(&running, back).await;
                tally.begun_in_silence(u64::from(SHARDS) + 20);
                tally.recovered(if loaded { "loaded" } else { "idle" }, slowest);
                assert!(
                    slowest <= BOUND,
                    "{outage:?} for {seconds} s, {execution} replicas, loaded {loaded}: a first start took {slowest:?}"
                );
                in_vain.await.expect("somebody");
                arena.mesh.ready().await.expect("ready");
                running.go_on();
            }
        }
        running.end(&mut arena, &tally, test).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_after_a_read_only_database_succeeds_on_every_shard() {
    let test = "the_first_start_after_a_read_only_database_succeeds_on_every_shard";
    the_first_start_succeeds(test, Outage::ReadOnly, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_after_a_stopped_database_succeeds_on_every_shard() {
    let test = "the_first_start_after_a_stopped_database_succeeds_on_every_shard";
    the_first_start_succeeds(test, Outage::Stopped, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_after_a_failover_succeeds_on_every_shard() {
    let test = "the_first_start_after_a_failover_succeeds_on_every_shard";
    the_first_start_succeeds(test, Outage::FailedOver, 2).await;
}
