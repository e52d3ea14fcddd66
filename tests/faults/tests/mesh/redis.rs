//! Redis wiped, killed, and away for a while: work is delayed and nothing else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use nexus_faults::{MeshArena, MeshTally, now_ns, whole_set};
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::{Running, shape};

/// Work goes on after this at the latest.
const BOUND: Duration = Duration::from_secs(16);

/// Wipes everything that Redis knows.
pub(crate) fn flush(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"FLUSHALL\r\n")?;
        let mut answer = [0; 3];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+OK")
    };
    ask().unwrap_or(false)
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_be_wiped_killed_and_away() {
    let test = "redis_may_be_wiped_killed_and_away";
    let mut arena = MeshArena::start(shape()).await;
    let mut tally = MeshTally::default();
    let running = Running::begin(&arena, test).await;
    let rounds = if whole_set() { 5 } else { 1 };
    for _ in 0..rounds {
        arena.some_begin(10).await;
        let from = now_ns();
        for _ in 0..20 {
            sleep(Duration::from_millis(250)).await;
            if flush(arena.mesh.redis().port()) {
                tally.fault("flushall");
            }
        }
        tally.recovered("after_the_last_flush", arena.first_begin(now_ns()).await);
        tally.recovered("longest_pause_while_flushed", arena.longest_pause(from, now_ns()));
        for _ in 0..2 {
            arena.some_begin(10).await;
            arena.mesh.redis().kill();
            tally.fault("kill_redis");
            sleep(Duration::from_millis(700)).await;
            block_in_place(|| arena.mesh.redis().resume()).expect("redis");
            tally.recovered("after_a_kill", arena.first_begin(now_ns()).await);
        }
        arena.some_begin(10).await;
        block_in_place(|| arena.mesh.redis().stop());
        let gone = now_ns();
        tally.fault("redis_away");
        tally.recovered("fallback", arena.first_begin(gone + 500_000_000).await);
        // Both replicas have workers, and each hands on what the other's workers can do.
        arena.some_begin(30).await;
        sleep(Duration::from_secs(5)).await;
        tally.recovered("longest_pause_while_away", arena.longest_pause(gone, now_ns()));
        block_in_place(|| arena.mesh.redis().resume()).expect("redis");
        tally.recovered("after_it_came_back", arena.first_begin(now_ns()).await);
        arena.some_begin(30).await;
    }
    let findings = running.end(&mut arena, &tally, test).await;
    for what in [
        "after_the_last_flush",
        "after_a_kill",
        "fallback",
        "longest_pause_while_away",
        "after_it_came_back",
    ] {
        let slowest = tally.recovery(what).max();
        assert!(slowest <= BOUND, "{what}: {slowest:?}");
    }
    arena.require_no_lost_lease(&findings);
    assert_eq!(arena.needless_repeats(), Vec::<String>::new());
}
