//! Figures, printed: `cargo test --release -p nexus-streams --test figures -- --ignored --nocapture`.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{ask, entries, redis, server, take};
use nexus_streams::{Dispatch, RedisDispatch};

const ROUNDS: u32 = 2_000;

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 100];
    println!("{what}: p50 {:?}, p99 {:?}", at(50), at(99));
}

/// One pointer at a time, from `publish` to the end of `take`, settled each.
async fn latency(publisher: Arc<RedisDispatch>, taker: Arc<RedisDispatch>) -> Vec<Duration> {
    let mut times = Vec::new();
    let (told, mut tells) = tokio::sync::mpsc::channel(1);
    let taking = tokio::spawn(async move {
        for _ in 0..ROUNDS {
            let taken = take(&*taker, 1).await;
            told.send(Instant::now()).await.expect("told");
            taker.settle(taken.into_iter().map(|taken| taken.receipt).collect());
        }
    });
    for task in 0..ROUNDS {
        // The taker waits by then, as an idle worker does.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let began = Instant::now();
        publisher.publish(entries(1, task..task + 1)).await.expect("publish");
        times.push(tells.recv().await.expect("told") - began);
    }
    taking.await.expect("join");
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures"]
async fn latency_and_throughput() {
    let server = server();
    let url = server.url();
    let (one, other) = (Arc::new(redis(&url).await), Arc::new(redis(&url).await));
    let commands = || async {
        let info: String = ask(&url, &["INFO", "commandstats"]).await;
        let calls = info
            .lines()
            .filter(|line| line.contains("evalsha") || line.contains("cmdstat_set:"));
        calls
            .map(|line| line.split(',').next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    show(
        "through Redis, publish to taken",
        latency(Arc::clone(&one), Arc::clone(&other)).await,
    );
    println!("{:?}", commands().await);
    show(
        "within one process, publish to taken",
        latency(Arc::clone(&one), Arc::clone(&one)).await,
    );
    for batch in [1, 10, 100] {
        let number = 50_000.min(5_000 * batch);
        let began = Instant::now();
        let publishing = tokio::spawn({
            let one = Arc::clone(&one);
            async move {
                for first in (0..number).step_by(batch as usize) {
                    one.publish(entries(2, first..first + batch)).await.expect("publish");
                }
            }
        });
        let mut came = 0;
        while came < number as usize {
            let taken = take(&*other, 32.min(number as usize - came)).await;
            came += taken.len();
            other.settle(taken.into_iter().map(|taken| taken.receipt).collect());
        }
        publishing.await.expect("join");
        let rate = f64::from(number) / began.elapsed().as_secs_f64();
        println!("through Redis, batches of {batch}: {rate:.0} pointers/s, published, taken and settled");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
