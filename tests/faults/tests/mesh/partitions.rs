//! Cuts between services, both ways and one way, resets and delays.

use std::time::Duration;

use nexus_faults::{MeshArena, MeshTally, now_ns, whole_set};
use nexus_fleet::{Direction, Link, Role, Shape};
use tokio::time::sleep;

use crate::{Running, shape};

/// Work goes on after this at the latest once a cut is healed.
const BOUND: Duration = Duration::from_secs(15);

/// What is done to which links, and for how long.
struct Cut {
    name: &'static str,
    links: Vec<Link>,
    direction: Direction,
    length: Duration,
}

fn cut(name: &'static str, links: Vec<Link>, direction: Direction, seconds: u64) -> Cut {
    Cut {
        name,
        links,
        direction,
        length: Duration::from_secs(seconds),
    }
}

fn worker(worker: usize) -> Vec<Link> {
    (0..2).map(|execution| Link::Worker { worker, execution }).collect()
}

/// The short set has each link once, the whole set each way of each link, for longer.
fn cuts() -> Vec<Cut> {
    use Direction::{Back, Both, Forward};
    if !whole_set() {
        return vec![
            cut("database_both", vec![Link::Database(0)], Both, 12),
            cut("redis_both", vec![Link::Redis(0)], Both, 6),
            cut("peers_both", vec![Link::Peers(1)], Both, 6),
            cut("worker_back", worker(0), Back, 8),
            cut("database_back", vec![Link::Database(1)], Back, 4),
        ];
    }
    let mut cuts = Vec::new();
    for (names, links) in [
        (
            ["database_both", "database_forward", "database_back"],
            vec![Link::Database(0)],
        ),
        (["redis_both", "redis_forward", "redis_back"], vec![Link::Redis(1)]),
        (["peers_both", "peers_forward", "peers_back"], vec![Link::Peers(0)]),
        (["worker_both", "worker_forward", "worker_back"], worker(1)),
    ] {
        for (name, direction) in names.into_iter().zip([Both, Forward, Back]) {
            cuts.push(cut(name, links.clone(), direction, 20));
            cuts.push(cut(name, links.clone(), direction, 4));
        }
    }
    cuts
}

#[tokio::test(flavor = "multi_thread")]
async fn links_between_services_may_be_cut_reset_and_slow() {
    let test = "links_between_services_may_be_cut_reset_and_slow";
    let proxied = Shape {
        proxied: true,
        ..shape()
    };
    let mut arena = MeshArena::start(proxied).await;
    let mut tally = MeshTally::default();
    let running = Running::begin(&arena, test).await;
    for cut in cuts() {
        arena.some_begin(10).await;
        let held = |arena: &MeshArena| cut.links.iter().map(|link| arena.mesh.proxy(*link).held()).sum::<u64>();
        let before = held(&arena);
        let from = now_ns();
        // Words of a worker that is cut off arrive late, as those of a frozen one do.
        let lives: Vec<String> = cut
            .links
            .iter()
            .filter_map(|link| match link {
                Link::Worker { worker, .. } => Some(arena.mesh.node(Role::Worker, *worker).life()),
                _ => None,
            })
            .collect();
        lives.iter().for_each(|life| arena.mark("stopped", life, cut.name));
        cut.links
            .iter()
            .for_each(|link| arena.mesh.proxy(*link).cut(cut.direction));
        sleep(cut.length).await;
        assert!(held(&arena) > before, "{}: nothing was held back", cut.name);
        tally.fault(format!("cut_{}", cut.name));
        cut.links.iter().for_each(|link| arena.mesh.proxy(*link).heal());
        tally.recovered("after_the_heal", arena.first_begin(now_ns()).await);
        tally.recovered("longest_pause", arena.longest_pause(from, now_ns()));
        arena.settled().await;
    }
    let links = arena.mesh.links();
    for _ in 0..if whole_set() { 40 } else { 10 } {
        links.iter().for_each(|link| arena.mesh.proxy(*link).reset());
        tally.fault("reset_of_all_links");
        sleep(Duration::from_millis(500)).await;
    }
    tally.recovered("after_the_resets", arena.first_begin(now_ns()).await);
    links
        .iter()
        .for_each(|link| arena.mesh.proxy(*link).delay(Duration::from_millis(100)));
    arena.some_begin(30).await;
    tally.fault("delay_of_all_links");
    links.iter().for_each(|link| arena.mesh.proxy(*link).heal());
    running.end(&mut arena, &tally, test).await;
    for what in ["after_the_heal", "after_the_resets"] {
        let slowest = tally.recovery(what).max();
        assert!(slowest <= BOUND, "{what}: {slowest:?}");
    }
}
