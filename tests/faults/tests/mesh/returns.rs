//! A replica that is away for longer than its worker waits for it and comes back: frozen, with its packets held back, or
//! with its connections led nowhere. The worker has gone on elsewhere meanwhile, and nothing that the returning replica
//! believes may touch what the worker runs.

use std::time::Duration;

use nexus_faults::{MeshArena, MeshTally, ONCE, SLOW, whole_set};
use nexus_fleet::{Direction, Link, Role, Shape};
use tokio::time::sleep;

use crate::{Running, shape};

/// Between the moment at which a worker gives its replica up (6.5 s) and a lease (20 s), and beyond both.
const AWAY: [u64; 3] = [9, 12, 30];
/// How long after its return a replica still has to say what it believes.
const AFTER: Duration = Duration::from_secs(4);

/// How a replica is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absence {
    Stopped,
    Held,
    Dropped,
}

/// The whole set has each length ten times, or `NEXUS_CHAOS_ROUNDS` times.
fn absences() -> Vec<u64> {
    let rounds = std::env::var("NEXUS_CHAOS_ROUNDS").ok();
    let rounds = rounds.map_or(10, |rounds| rounds.parse().expect("NEXUS_CHAOS_ROUNDS is a number"));
    if whole_set() {
        AWAY.repeat(rounds)
    } else {
        vec![AWAY[0]]
    }
}

/// The links that a replica has with everybody.
fn links(arena: &MeshArena, replica: usize) -> Vec<Link> {
    let of_it = |link: &Link| match link {
        Link::Database(number) | Link::Redis(number) | Link::Peers(number) => *number == replica,
        Link::Worker { execution, .. } => *execution == replica,
    };
    arena.mesh.links().into_iter().filter(of_it).collect()
}

/// The replica that the only worker is connected to: where it registered last.
fn host(arena: &mut MeshArena) -> usize {
    let last = |number| {
        let said = arena.mesh.node(Role::Execution, number).said();
        let registered = said.lines().rev().find(|line| line.contains("a worker registered"));
        registered.map(|line| line.split_whitespace().next().unwrap_or_default().to_owned())
    };
    let (_, number) = (0..3).map(last).zip(0..).max().expect("three replicas");
    number
}

/// A replica goes away.
pub(crate) fn absent(arena: &mut MeshArena, replica: usize, absence: Absence) {
    match absence {
        Absence::Stopped => arena.freeze(Role::Execution, replica),
        Absence::Held => links(arena, replica)
            .into_iter()
            .for_each(|link| arena.mesh.proxy(link).cut(Direction::Both)),
        Absence::Dropped => links(arena, replica)
            .into_iter()
            .for_each(|link| arena.mesh.proxy(link).vanish()),
    }
}

/// It comes back.
pub(crate) fn back(arena: &mut MeshArena, replica: usize, absence: Absence) {
    match absence {
        Absence::Stopped => arena.thaw(Role::Execution, replica),
        Absence::Held => links(arena, replica)
            .into_iter()
            .for_each(|link| arena.mesh.proxy(link).heal()),
        Absence::Dropped => links(arena, replica)
            .into_iter()
            .for_each(|link| arena.mesh.proxy(link).come_back()),
    }
}

async fn a_replica_comes_back(test: &str, absence: Absence) {
    let one_worker = Shape {
        execution: 3,
        workers: 1,
        slots: 16,
        proxied: true,
        ..shape()
    };
    let mut arena = MeshArena::start(one_worker).await;
    let mut tally = MeshTally::default();
    let mut running = Running::begin_with(&arena, test, &[ONCE], 2).await;
    running.load.apply(&[SLOW]).await;
    running.clients.extend(running.load.run(8, &[SLOW], 1));
    for seconds in absences() {
        arena.some_begin(12).await;
        let replica = host(&mut arena);
        absent(&mut arena, replica, absence);
        tally.fault(format!("{absence:?}_{seconds}"));
        sleep(Duration::from_secs(seconds)).await;
        back(&mut arena, replica, absence);
        sleep(AFTER).await;
        assert_eq!(
            arena.needless_repeats(),
            Vec::<String>::new(),
            "{absence:?} for {seconds} s"
        );
        arena.settled().await;
    }
    let findings = running.end(&mut arena, &tally, test).await;
    assert_eq!(arena.needless_repeats(), Vec::<String>::new());
    assert_eq!(findings.counter("unknown"), 0, "nothing is UNKNOWN");
    arena.require_no_lost_lease(&findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_stopped_takes_nothing_from_a_worker_that_went_on() {
    let test = "a_replica_that_was_stopped_takes_nothing_from_a_worker_that_went_on";
    a_replica_comes_back(test, Absence::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_packets_were_held_takes_nothing_from_a_worker_that_went_on() {
    let test = "a_replica_whose_packets_were_held_takes_nothing_from_a_worker_that_went_on";
    a_replica_comes_back(test, Absence::Held).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_packets_were_dropped_takes_nothing_from_a_worker_that_went_on() {
    let test = "a_replica_whose_packets_were_dropped_takes_nothing_from_a_worker_that_went_on";
    a_replica_comes_back(test, Absence::Dropped).await;
}
