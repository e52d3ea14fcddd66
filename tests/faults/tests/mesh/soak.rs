//! Everything for a while, two faults at a time, at random moments and for random lengths, among them those between two
//! time limits.

use std::time::{Duration, Instant};

use nexus_faults::{Chance, MeshArena, MeshTally, chaos_seconds, now_ns};
use nexus_fleet::{Role, Shape};
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::returns::{Absence, absent, back};
use crate::{Running, outages, shape};

/// Work goes on after the end of both faults within this.
const BOUND: Duration = Duration::from_secs(16);
/// A fault as a rule lasts less than this; one in four lasts longer: longer than a worker waits for its replica and about
/// as long as a membership, and shorter than a lease.
const SHORT: u64 = 3_000;
const LONG: (u64, u64) = (7_000, 7_000);

/// What is done; the numbers of nodes take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill(Role),
    Restart(Role),
    Freeze(Role),
    /// The packets of a replica are held, or its connections lead nowhere.
    Cut(Absence),
    ReadOnly,
    StopPostgres,
    KillPostgres,
    EndBackends,
    FlushRedis,
    KillRedis,
}

use Fault as F;

const FAULTS: &[Fault] = &[
    F::Kill(Role::Execution),
    F::Kill(Role::Worker),
    F::FlushRedis,
    F::Cut(Absence::Held),
    F::KillRedis,
    F::StopPostgres,
    F::Restart(Role::Execution),
    F::EndBackends,
    F::Kill(Role::Definitions),
    F::Freeze(Role::Worker),
    F::ReadOnly,
    F::Restart(Role::Worker),
    F::Freeze(Role::Execution),
    F::KillPostgres,
    F::Cut(Absence::Dropped),
    F::Freeze(Role::Definitions),
];

/// What a fault happens to: two faults at a time happen to two different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Node(Role, usize),
    Postgres,
    Redis,
}

impl Fault {
    fn name(self) -> String {
        let mut name = String::new();
        for letter in format!("{self:?}").chars().filter(char::is_ascii_alphabetic) {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    fn subject(self, round: usize) -> Subject {
        match self {
            F::Kill(role) | F::Restart(role) | F::Freeze(role) => Subject::Node(role, round % nodes(role)),
            F::Cut(_) => Subject::Node(Role::Execution, round % nodes(Role::Execution)),
            F::ReadOnly | F::StopPostgres | F::KillPostgres | F::EndBackends => Subject::Postgres,
            F::FlushRedis | F::KillRedis => Subject::Redis,
        }
    }

    /// Begins; false when there was nothing to do it to.
    async fn begin(self, arena: &mut MeshArena, subject: Subject) -> bool {
        match (self, subject) {
            (F::Kill(_), Subject::Node(role, number)) => drop(arena.kill(role, number)),
            (F::Restart(_), Subject::Node(role, number)) => arena.stop(role, number).await,
            (F::Freeze(_), Subject::Node(role, number)) => arena.freeze(role, number),
            (F::Cut(absence), Subject::Node(_, number)) => absent(arena, number, absence),
            (F::ReadOnly, _) => outages::set_read_only(arena, true).await,
            (F::StopPostgres, _) => block_in_place(|| arena.mesh.postgres().stop()),
            (F::KillPostgres, _) => arena.mesh.postgres().kill(),
            (F::EndBackends, _) => return crate::postgres::end_backends(arena).await > 0,
            (F::FlushRedis, _) => return crate::redis::flush(arena.mesh.redis().port()),
            (F::KillRedis, _) => arena.mesh.redis().kill(),
            (_, Subject::Postgres | Subject::Redis) => unreachable!("{self:?} happens to a node"),
        }
        true
    }

    async fn end(self, arena: &mut MeshArena, subject: Subject) {
        match (self, subject) {
            (F::Kill(_) | F::Restart(_), Subject::Node(role, number)) => arena.revive(role, number, ""),
            (F::Freeze(_), Subject::Node(role, number)) => arena.thaw(role, number),
            (F::Cut(absence), Subject::Node(_, number)) => back(arena, number, absence),
            (F::ReadOnly, _) => outages::set_read_only(arena, false).await,
            (F::StopPostgres | F::KillPostgres, _) => {
                block_in_place(|| arena.mesh.postgres().resume()).expect("postgres");
            }
            (F::KillRedis, _) => block_in_place(|| arena.mesh.redis().resume()).expect("redis"),
            _ => {}
        }
    }
}

fn nodes(role: Role) -> usize {
    let shape = shape();
    match role {
        Role::Execution => shape.execution,
        Role::Definitions => shape.definitions,
        Role::Worker => shape.workers,
        Role::Gateway | Role::Access | Role::Scheduling | Role::Notifications => 0,
    }
}

fn a_while(chance: &mut Chance) -> Duration {
    let long = chance.below(4) == 0;
    Duration::from_millis(if long {
        LONG.0 + chance.below(LONG.1)
    } else {
        chance.below(SHORT)
    })
}

/// Two faults that overlap, ended in one order or the other. The second is the next of the list that happens to something
/// else.
async fn two(arena: &mut MeshArena, turn: usize, chance: &mut Chance) -> [Fault; 2] {
    let round = turn / FAULTS.len();
    let first = FAULTS[turn % FAULTS.len()];
    let one = first.subject(round);
    let others = (1..FAULTS.len()).map(|step| FAULTS[(turn + step * (round + 1)) % FAULTS.len()]);
    let second = others.into_iter().find(|other| other.subject(round + 1) != one);
    let second = second.expect("faults of different kinds");
    let other = second.subject(round + 1);
    first.begin(arena, one).await;
    sleep(Duration::from_millis(chance.below(1_500))).await;
    second.begin(arena, other).await;
    sleep(a_while(chance)).await;
    let mut both = [(first, one), (second, other)];
    if chance.below(2) == 0 {
        both.reverse();
    }
    for (fault, subject) in both {
        fault.end(arena, subject).await;
        sleep(Duration::from_millis(chance.below(1_000))).await;
    }
    [first, second]
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_two_at_a_time_breaks_no_promise() {
    let test = "everything_two_at_a_time_breaks_no_promise";
    let proxied = Shape {
        proxied: true,
        ..shape()
    };
    let mut arena = MeshArena::start(proxied).await;
    let mut tally = MeshTally::default();
    let mut chance = Chance::of_run(test);
    let running = Running::begin_with_slow(&arena, test).await;
    let until = Instant::now() + Duration::from_secs(chaos_seconds());
    let mut turn = usize::try_from(chance.below(FAULTS.len() as u64)).expect("a small number");
    while Instant::now() < until {
        let both = two(&mut arena, turn, &mut chance).await;
        both.iter().for_each(|fault| tally.fault(fault.name()));
        let first = arena.first_begin(now_ns()).await;
        assert!(first <= BOUND, "work went on only {first:?} after the end of {both:?}");
        tally.recovered("first_begin_after", first);
        sleep(Duration::from_millis(300 + chance.below(1_500))).await;
        turn += 1;
    }
    arena.mesh.ready().await.expect("all are ready");
    running.end(&mut arena, &tally, test).await;
}
