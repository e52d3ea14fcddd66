//! Everything in turn, at random moments, for a while.

use std::time::{Duration, Instant};

use nexus_faults::{Chance, MeshArena, MeshTally, chaos_seconds, now_ns};
use nexus_fleet::Role;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::{Running, shape};

/// Work goes on after this at the latest.
const BOUND: Duration = Duration::from_secs(16);

/// What is done, in turn; the numbers of nodes take turns too.
const TURNS: &[&str] = &[
    "kill_execution",
    "kill_worker",
    "flushall",
    "kill_redis",
    "restart_execution",
    "end_backends",
    "kill_definitions",
    "freeze_worker",
    "restart_postgres",
    "restart_worker",
    "freeze_execution",
    "kill_postgres",
];

/// Does one thing, and undoes it after a while.
async fn one(arena: &mut MeshArena, what: &'static str, round: usize, chance: &mut Chance) -> bool {
    let a_while = Duration::from_millis(chance.below(3_000));
    match what {
        "kill_execution" => kill(arena, Role::Execution, round % 2, a_while).await,
        "kill_worker" => kill(arena, Role::Worker, round % 4, a_while).await,
        "kill_definitions" => kill(arena, Role::Definitions, round % 2, a_while).await,
        "restart_execution" => drop(arena.roll(Role::Execution, (round + 1) % 2).await),
        "restart_worker" => drop(arena.roll(Role::Worker, (round + 1) % 4).await),
        "freeze_worker" => freeze(arena, Role::Worker, (round + 2) % 4, a_while).await,
        "freeze_execution" => freeze(arena, Role::Execution, round % 2, a_while * 5).await,
        "flushall" => return crate::redis::flush(arena.mesh.redis().port()),
        "end_backends" => return crate::postgres::end_backends(arena).await > 0,
        "kill_redis" => {
            arena.mesh.redis().kill();
            sleep(a_while).await;
            block_in_place(|| arena.mesh.redis().resume()).expect("redis");
        }
        "restart_postgres" => {
            block_in_place(|| arena.mesh.postgres().stop());
            sleep(a_while / 2).await;
            block_in_place(|| arena.mesh.postgres().resume()).expect("postgres");
        }
        _ => {
            arena.mesh.postgres().kill();
            sleep(a_while / 2).await;
            block_in_place(|| arena.mesh.postgres().resume()).expect("postgres");
        }
    }
    true
}

async fn kill(arena: &mut MeshArena, role: Role, number: usize, a_while: Duration) {
    arena.kill(role, number);
    sleep(a_while).await;
    arena.revive(role, number, "");
}

async fn freeze(arena: &mut MeshArena, role: Role, number: usize, a_while: Duration) {
    arena.freeze(role, number);
    sleep(a_while).await;
    arena.thaw(role, number);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_turn_breaks_no_promise() {
    let test = "everything_in_turn_breaks_no_promise";
    let mut arena = MeshArena::start(shape()).await;
    let mut tally = MeshTally::default();
    let mut chance = Chance::of_run(test);
    let running = Running::begin(&arena, test).await;
    let until = Instant::now() + Duration::from_secs(chaos_seconds());
    let mut round = 0;
    'all: loop {
        for what in TURNS {
            if Instant::now() >= until {
                break 'all;
            }
            if one(&mut arena, what, round, &mut chance).await {
                tally.fault(*what);
            }
            tally.recovered("first_begin_after", arena.first_begin(now_ns()).await);
            sleep(Duration::from_millis(300 + chance.below(1_500))).await;
        }
        round += 1;
    }
    arena.mesh.ready().await.expect("all are ready");
    running.end(&mut arena, &tally, test).await;
    let slowest = tally.recovery("first_begin_after").max();
    assert!(slowest <= BOUND, "{slowest:?}");
}
