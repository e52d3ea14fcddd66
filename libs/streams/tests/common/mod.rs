//! What the tests of dispatchers share.
#![allow(dead_code, reason = "each test binary uses some of it")]

use std::collections::HashSet;
use std::time::Duration;

use nexus_servers::Redis;
use nexus_streams::redis::RedisOptions;
use nexus_streams::{Dispatch, Entry, Lane, Pointer, RedisDispatch, Taken};
use tokio_util::sync::CancellationToken;

/// Time that anything may take.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Time after which nothing is expected any more.
pub const MOMENT: Duration = Duration::from_millis(150);

pub fn pointer(execution: u8, task: u32) -> Pointer {
    Pointer {
        execution: [execution; 16],
        task,
        attempt: 1,
    }
}

pub fn entry_in(queue: &str, execution: u8, task: u32, lane: Lane) -> Entry {
    Entry {
        queue: queue.into(),
        lane,
        pointer: pointer(execution, task),
    }
}

pub fn entry(execution: u8, task: u32, lane: Lane) -> Entry {
    entry_in("default", execution, task, lane)
}

pub fn entries(execution: u8, tasks: std::ops::Range<u32>) -> Vec<Entry> {
    tasks.map(|task| entry(execution, task, Lane::Normal)).collect()
}

/// Takes until the deadline or the number is reached.
pub async fn take(dispatch: &impl Dispatch, number: usize) -> Vec<Taken> {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let mut taken = Vec::new();
    while taken.len() < number {
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        assert!(!left.is_zero(), "only {} of {number} came", taken.len());
        let more = dispatch.take(&["default".into()], number - taken.len(), left).await;
        taken.extend(more.expect("take"));
    }
    taken
}

/// Takes and settles until each of these tasks of an execution was there; others may come too. Answers what came.
pub async fn take_all(dispatch: &impl Dispatch, execution: u8, tasks: impl IntoIterator<Item = u32>) -> HashSet<u32> {
    let mut came = HashSet::new();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let mut missing: HashSet<Pointer> = tasks.into_iter().map(|task| pointer(execution, task)).collect();
    while !missing.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "{} do not come", missing.len());
        let taken = dispatch.take(&["default".into()], 64, Duration::from_millis(200)).await;
        let taken = taken.expect("take");
        for taken in &taken {
            missing.remove(&taken.pointer);
            came.insert(taken.pointer.task);
        }
        dispatch.settle(taken.into_iter().map(|taken| taken.receipt).collect());
    }
    came
}

/// Nothing comes within a moment.
pub async fn nothing_comes(dispatch: &impl Dispatch) {
    let taken = dispatch.take(&["default".into()], 10, MOMENT).await.expect("take");
    assert_eq!(taken, []);
}

pub fn tasks(taken: &[Taken]) -> Vec<(u8, u32)> {
    taken
        .iter()
        .map(|taken| (taken.pointer.execution[0], taken.pointer.task))
        .collect()
}

pub async fn redis(url: &str) -> RedisDispatch {
    let options = RedisOptions::new(url);
    RedisDispatch::start(options, &CancellationToken::new())
        .await
        .expect("start")
}

pub fn server() -> Redis {
    Redis::start(nexus_servers::RedisOptions::default()).expect("a private Redis")
}

pub fn server_with(words: &[&str]) -> Redis {
    Redis::start(nexus_servers::RedisOptions {
        arguments: words.iter().map(|word| (*word).to_owned()).collect(),
        ..nexus_servers::RedisOptions::default()
    })
    .expect("a private Redis")
}

/// Asks the server something over a connection of its own.
pub async fn ask<T: redis::FromRedisValue>(url: &str, words: &[&str]) -> T {
    let client = redis::Client::open(url).expect("address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("connect");
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection).await.expect("answer")
}

/// Waits until something holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until it grows past a number of losses.
pub async fn losses_past(dispatch: &impl Dispatch, number: u64) {
    let mut losses = dispatch.losses();
    let grown = tokio::time::timeout(DEADLINE, losses.wait_for(|losses| *losses > number)).await;
    grown.expect("losses grow in time").expect("the dispatcher lives");
}
