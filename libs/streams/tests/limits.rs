//! Bounds: what a process keeps, reads, sends and leaves in Redis, and which Redis it refuses.

mod common;

use std::time::{Duration, Instant};

use common::{ask, entries, eventually, redis, server, server_with, take_all};
use nexus_streams::redis::{RedisOptions, RedisSetupError};
use nexus_streams::{Dispatch, RedisDispatch};
use tokio_util::sync::CancellationToken;

const STREAM: &str = "nexus:{default:default}:normal";

#[tokio::test]
async fn what_is_kept_while_redis_is_away_is_bounded() {
    let mut server = server();
    let options = RedisOptions {
        capacity: 10,
        ..RedisOptions::new(server.url())
    };
    server.kill();
    let dispatch = RedisDispatch::start(options, &CancellationToken::new())
        .await
        .expect("start");
    dispatch.publish(entries(1, 0..10)).await.expect("just so many");
    dispatch.publish(entries(1, 10..11)).await.expect_err("one more");
    assert_eq!(dispatch.held(), 10);
}

#[tokio::test]
async fn queues_of_one_process_are_bounded() {
    let server = server();
    let options = RedisOptions {
        queues: 2,
        ..RedisOptions::new(server.url())
    };
    let dispatch = RedisDispatch::start(options, &CancellationToken::new())
        .await
        .expect("start");
    for queue in ["a", "b", "a"] {
        dispatch
            .take(&[queue.into()], 1, Duration::from_millis(5))
            .await
            .expect("two queues");
    }
    let error = dispatch
        .take(&["c".into()], 1, Duration::from_millis(5))
        .await
        .expect_err("a third");
    assert!(error.to_string().contains("2 different queues"), "{error}");
}

#[tokio::test]
async fn memory_is_bounded_and_given_back() {
    const NUMBER: u32 = 100_000;
    let server = server();
    let url = server.url();
    let used = || async {
        let info: String = ask(&url, &["INFO", "memory"]).await;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.and_then(|bytes| bytes.trim().parse::<i64>().ok())
            .expect("used_memory")
    };
    let dispatch = redis(&url).await;
    let before = used().await;
    for batch in 0..NUMBER / 10_000 {
        dispatch
            .publish(entries(1, batch * 10_000..(batch + 1) * 10_000))
            .await
            .expect("publish");
    }
    assert_eq!(ask::<u32>(&url, &["XLEN", STREAM]).await, NUMBER);
    assert_eq!(dispatch.held(), 0);
    let bytes = (used().await - before) / i64::from(NUMBER);
    println!("{bytes} bytes of Redis a pointer");
    assert!(bytes < 300, "{bytes} bytes a pointer");
    let began = Instant::now();
    take_all(&dispatch, 1, 0..NUMBER).await;
    println!("{NUMBER} taken in {:?}", began.elapsed());
    eventually("everything is settled", || async {
        ask::<i64>(&url, &["XLEN", STREAM]).await == 0
    })
    .await;
    assert!(used().await - before < 3 << 20, "memory is given back");
}

#[tokio::test]
async fn a_redis_that_throws_keys_away_is_refused() {
    let server = server_with(&["--maxmemory-policy", "allkeys-lru"]);
    let refused = RedisDispatch::start(RedisOptions::new(server.url()), &CancellationToken::new()).await;
    let error = refused.expect_err("it evicts");
    assert!(matches!(error, RedisSetupError::Evicts { .. }), "{error}");
    assert!(error.to_string().contains("noeviction"), "{error}");
    // One that does not tell is taken, and warned about.
    let secret = server_with(&["--rename-command", "CONFIG", ""]);
    RedisDispatch::start(RedisOptions::new(secret.url()), &CancellationToken::new())
        .await
        .expect("start");
    let locked = server_with(&["--requirepass", "hunter2"]);
    let refused = RedisDispatch::start(RedisOptions::new(locked.url()), &CancellationToken::new()).await;
    assert!(matches!(refused, Err(RedisSetupError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn an_idle_process_says_little() {
    let server = server();
    let dispatch = redis(&server.url()).await;
    let commands = || async {
        let info: String = ask(&server.url(), &["INFO", "stats"]).await;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.and_then(|number| number.trim().parse::<i64>().ok())
            .expect("commands")
    };
    let before = commands().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let idle = commands().await - before;
    assert!(idle <= 5, "{idle} commands in 3 s, those of the question included");
    let before = commands().await;
    let taken = dispatch.take(&["default".into()], 1, Duration::from_secs(4)).await;
    assert!(taken.expect("take").is_empty());
    let waiting = commands().await - before;
    // Commands within scripts are counted too.
    assert!(waiting <= 45, "{waiting} commands in 4 s of waiting");
}
