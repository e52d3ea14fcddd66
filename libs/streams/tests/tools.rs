//! The lock and the cache: one holder at a time, and an absent Redis is a miss.

mod common;

use std::time::{Duration, Instant};

use common::{ask, server};
use nexus_streams::redis::Link;
use nexus_streams::redis::cache::Cache;
use nexus_streams::redis::lock::Lock;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn one_of_many_has_the_lock() {
    let server = server();
    let link = Link::open(&server.url()).expect("address");
    let takers = futures::future::join_all((0..10).map(|_| Lock::try_take(&link, "work", LONG))).await;
    let mut holders: Vec<Lock> = takers.into_iter().filter_map(|taken| taken.expect("asked")).collect();
    assert_eq!(holders.len(), 1);
    let holder = holders.remove(0);
    assert!(holder.extend(LONG).await.expect("extend"));
    assert!(holder.release().await.expect("release"));
    let again = Lock::try_take(&link, "work", LONG).await.expect("asked");
    assert!(again.is_some(), "it was given back");
}

#[tokio::test]
async fn who_has_lost_the_lock_cannot_touch_the_next_holders() {
    let server = server();
    let link = Link::open(&server.url()).expect("address");
    let first = Lock::try_take(&link, "work", Duration::from_millis(20))
        .await
        .expect("asked")
        .expect("free");
    common::eventually("its time is over", || async {
        !ask::<bool>(&server.url(), &["EXISTS", "work"]).await
    })
    .await;
    assert!(!first.extend(LONG).await.expect("asked"));
    let second = Lock::try_take(&link, "work", LONG).await.expect("asked").expect("free");
    assert!(!first.release().await.expect("asked"));
    assert!(second.release().await.expect("asked"), "the first has not released it");
}

#[tokio::test]
async fn an_absent_redis_is_a_miss_and_takes_no_time() {
    let mut server = server();
    let cache = Cache::new(Link::open(&server.url()).expect("address"), "nexus:cache:");
    assert_eq!(cache.get("a").await, None);
    cache.put("a", b"\0bytes", LONG).await;
    assert_eq!(cache.get("a").await.as_deref(), Some(&b"\0bytes"[..]));
    cache.put("short", b"x", Duration::from_millis(10)).await;
    common::eventually("its time is over", || async { cache.get("short").await.is_none() }).await;
    for break_it in [nexus_servers::Redis::freeze as fn(&nexus_servers::Redis), |_| {}] {
        break_it(&server);
        let began = Instant::now();
        assert_eq!(cache.get("a").await, None);
        cache.put("a", b"x", LONG).await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        server.kill();
    }
    server.resume().expect("resume");
    common::eventually("it is asked again", || async {
        cache.put("b", b"y", LONG).await;
        cache.get("b").await.is_some()
    })
    .await;
}
