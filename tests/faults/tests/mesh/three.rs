//! Three replicas of the execution service: what is only true of two by chance.

use std::time::Duration;

use nexus_faults::{MeshArena, MeshTally, eventually, whole_set};
use nexus_fleet::{Role, Shape};

use crate::{Running, shape};

/// The shards of replicas that died are worked on after this at the latest.
const SHARDS: Duration = Duration::from_secs(15);
/// 64 shards over three.
const SHARE: std::ops::RangeInclusive<usize> = 21..=22;

#[tokio::test(flavor = "multi_thread")]
async fn of_three_replicas_two_may_be_killed_at_once() {
    let test = "of_three_replicas_two_may_be_killed_at_once";
    let three = Shape {
        execution: 3,
        ..shape()
    };
    let mut arena = MeshArena::start(three).await;
    let mut tally = MeshTally::default();
    let running = Running::begin(&arena, test).await;
    shared(&mut arena).await;
    for round in 0..if whole_set() { 6 } else { 1 } {
        arena.some_begin(20).await;
        let victims = [round % 3, (round + 1) % 3];
        let mut shards = Vec::new();
        for number in victims {
            shards.extend(arena.shards_of(number).await);
        }
        // From the second death on: until then a victim may still decide.
        let mut at = 0;
        for number in victims {
            at = at.max(arena.kill(Role::Execution, number));
            tally.fault("kill_execution");
        }
        tally.recovered("shards", arena.first_decision(&shards, at).await);
        eventually("the third one has everything", Duration::from_secs(30), async || {
            arena.shards_of((round + 2) % 3).await.len() == 64
        })
        .await;
        arena.some_begin(20).await;
        for number in victims {
            arena.revive(Role::Execution, number, "");
        }
        arena.mesh.ready().await.expect("ready");
        shared(&mut arena).await;
    }
    running.end(&mut arena, &tally, test).await;
    let slowest = tally.recovery("shards").max();
    assert!(slowest <= SHARDS, "the shards were worked on only after {slowest:?}");
    assert_eq!(arena.needless_repeats(), Vec::<String>::new());
}

/// Waits until each has its share.
async fn shared(arena: &mut MeshArena) {
    eventually("shards are shared evenly", Duration::from_secs(30), async || {
        for number in 0..3 {
            if !SHARE.contains(&arena.shards_of(number).await.len()) {
                return false;
            }
        }
        true
    })
    .await;
}
