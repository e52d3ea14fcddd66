//! What happens when Redis is wiped, killed, cut, filled or spoiled: nothing is promised of it, and nothing hangs.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{
    DEADLINE, ask, entries, entry, eventually, losses_past, nothing_comes, redis, server, server_with, take, take_all,
    tasks,
};
use nexus_streams::{Dispatch, Lane, Lend, RedisDispatch};

const STREAM: &str = "nexus:{default:default}:normal";

/// Does what an owner does on a loss: offers everything again, until it has come.
async fn all_come_with_an_owner(publisher: &Arc<RedisDispatch>, taker: &RedisDispatch, tasks: std::ops::Range<u32>) {
    let owner = tokio::spawn({
        let (publisher, tasks) = (Arc::clone(publisher), tasks.clone());
        async move {
            let mut losses = publisher.losses();
            while losses.changed().await.is_ok() {
                publisher.publish(entries(1, tasks.clone())).await.expect("publish");
            }
        }
    });
    take_all(taker, 1, tasks).await;
    owner.abort();
}

#[tokio::test]
async fn flushall_under_load_is_noticed_and_everything_comes() {
    let server = server();
    let (publisher, taker) = (Arc::new(redis(&server.url()).await), redis(&server.url()).await);
    let flushing = tokio::spawn({
        let url = server.url();
        async move {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                ask::<()>(&url, &["FLUSHALL"]).await;
            }
        }
    });
    let publishing = tokio::spawn({
        let publisher = Arc::clone(&publisher);
        async move {
            for batch in 0..100 {
                publisher
                    .publish(entries(1, batch * 20..batch * 20 + 20))
                    .await
                    .expect("publish");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    });
    all_come_with_an_owner(&publisher, &taker, 0..2_000).await;
    flushing.await.expect("join");
    publishing.await.expect("join");
    losses_past(&*publisher, 0).await;
}

#[tokio::test]
async fn a_quiet_flushall_is_noticed_too() {
    let server = server();
    let publisher = redis(&server.url()).await;
    publisher.publish(entries(1, 0..3)).await.expect("publish");
    ask::<()>(&server.url(), &["FLUSHALL"]).await;
    losses_past(&publisher, 0).await;
}

#[tokio::test]
async fn a_killed_redis_is_done_without_until_it_is_back() {
    let mut server = server();
    let (publisher, taker) = (Arc::new(redis(&server.url()).await), redis(&server.url()).await);
    publisher.publish(entries(1, 0..10)).await.expect("publish");
    server.kill();
    publisher.publish(entries(1, 10..20)).await.expect("kept here instead");
    assert!(*publisher.away().borrow());
    let own = take(&*publisher, 5).await;
    assert!(
        own.iter().all(|taken| taken.pointer.task >= 10),
        "served from memory: {own:?}"
    );
    server.resume().expect("resume");
    let mut away = publisher.away();
    tokio::time::timeout(DEADLINE, away.wait_for(|away| !away))
        .await
        .expect("it is back")
        .expect("alive");
    losses_past(&*publisher, 0).await;
    // What was kept here goes there by itself; what Redis lost, the owner offers again.
    publisher.publish(entries(1, 0..10)).await.expect("publish");
    let left: Vec<u32> = own.iter().map(|taken| taken.pointer.task).collect();
    let mut came = std::collections::HashSet::new();
    while came.len() < 15 {
        came.extend(take(&taker, 1).await.into_iter().map(|taken| taken.pointer.task));
    }
    assert!(
        left.iter().all(|task| !came.contains(task)),
        "what was taken does not come again"
    );
}

#[tokio::test]
async fn a_frozen_redis_holds_nobody_up_for_long() {
    let server = server();
    let dispatch = redis(&server.url()).await;
    dispatch.publish(entries(1, 0..1)).await.expect("publish");
    server.freeze();
    let began = Instant::now();
    dispatch.publish(entries(1, 1..3)).await.expect("kept here instead");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(take(&dispatch, 2).await.len(), 2);
    server.thaw();
    take_all(&dispatch, 1, 0..1).await;
}

#[tokio::test]
async fn a_redis_that_was_never_there_is_waited_for() {
    let mut server = server();
    server.kill();
    let dispatch = redis(&server.url()).await;
    assert!(*dispatch.away().borrow());
    dispatch.publish(entries(1, 0..10)).await.expect("publish");
    server.resume().expect("resume");
    let other = redis(&server.url()).await;
    take_all(&other, 1, 0..10).await;
}

#[tokio::test]
async fn deleted_streams_groups_and_wrong_types_are_mended() {
    let server = server();
    let (publisher, taker) = (Arc::new(redis(&server.url()).await), redis(&server.url()).await);
    let index = format!("{STREAM}:index");
    let spoilings: [&[&[&str]]; 6] = [
        &[&["DEL", STREAM]],
        &[&["XGROUP", "DESTROY", STREAM, "nexus"]],
        &[&["XTRIM", STREAM, "MAXLEN", "0"]],
        &[&["DEL", STREAM], &["SET", STREAM, "a string"]],
        &[&["DEL", &index], &["RPUSH", &index, "a list"]],
        &[
            &["DEL", "nexus:default:generation"],
            &["RPUSH", "nexus:default:generation", "a list"],
        ],
    ];
    for (number, spoiling) in (0..).zip(spoilings) {
        let first = number * 10;
        publisher.publish(entries(1, first..first + 5)).await.expect("publish");
        let mut came = take_all(&taker, 1, first..first + 1).await;
        publisher
            .publish(entries(1, first + 5..first + 8))
            .await
            .expect("publish");
        println!("{spoiling:?}");
        for words in spoiling {
            ask::<redis::Value>(&server.url(), words).await;
        }
        publisher
            .publish(entries(1, first + 8..first + 10))
            .await
            .expect("publish");
        came.extend(take_all(&taker, 1, first + 8..first + 10).await);
        // What an owner does after a while with what did not come.
        let lost: Vec<u32> = (first..first + 10).filter(|task| !came.contains(task)).collect();
        let again = lost.iter().map(|task| entry(1, *task, Lane::Normal)).collect();
        publisher.publish(again).await.expect("publish");
        take_all(&taker, 1, lost).await;
    }
    assert!(!*publisher.away().borrow(), "it was never away");
}

#[tokio::test]
async fn a_deleted_stream_is_noticed_by_its_waiting_reader() {
    let server = server();
    let taker = Arc::new(redis(&server.url()).await);
    let taking = tokio::spawn({
        let taker = Arc::clone(&taker);
        async move { take(&*taker, 1).await }
    });
    eventually("the reader waits", || async {
        ask::<bool>(&server.url(), &["EXISTS", STREAM]).await
    })
    .await;
    tokio::time::sleep(common::MOMENT).await;
    ask::<i64>(&server.url(), &["DEL", STREAM]).await;
    losses_past(&*taker, 0).await;
    redis(&server.url())
        .await
        .publish(entries(1, 0..1))
        .await
        .expect("publish");
    assert_eq!(tasks(&taking.await.expect("join")), [(1, 0)]);
}

#[tokio::test]
async fn what_a_dead_reader_held_is_claimed() {
    let server = server();
    let (publisher, survivor) = (redis(&server.url()).await, redis(&server.url()).await);
    publisher.publish(entries(1, 0..5)).await.expect("publish");
    let dead = redis(&server.url()).await;
    assert_eq!(take(&dead, 5).await.len(), 5);
    // It dies without settling.
    drop(dead);
    let began = Instant::now();
    take_all(&survivor, 1, 0..5).await;
    assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
    eventually("everything is settled", || async {
        ask::<i64>(&server.url(), &["XLEN", STREAM]).await == 0
            && !ask::<bool>(&server.url(), &["EXISTS", &format!("{STREAM}:index")]).await
    })
    .await;
}

#[tokio::test]
async fn what_finds_no_taker_here_goes_to_the_others() {
    let server = server();
    let (here, there) = (Arc::new(redis(&server.url()).await), redis(&server.url()).await);
    let taking = tokio::spawn({
        let here = Arc::clone(&here);
        async move { here.take(&["default".into()], 10, DEADLINE).await }
    });
    eventually("the taker waits", || async { !here.wanted().is_empty() }).await;
    assert_eq!(here.wanted(), [("default".to_owned(), 10)]);
    // All ten are handed to the taker's process; the taker goes away before it has them.
    taking.abort();
    drop(taking.await);
    let queues = ["default".into()];
    let taking = here.take(&queues, 10, DEADLINE);
    tokio::pin!(taking);
    assert!(futures::poll!(&mut taking).is_pending());
    here.publish(entries(1, 0..10)).await.expect("publish");
    assert_eq!(here.held(), 10, "the way through Redis is skipped");
    assert_eq!(ask::<i64>(&server.url(), &["XLEN", STREAM]).await, 0);
    let later = Instant::now();
    take_all(&there, 1, 0..10).await;
    assert!(
        later.elapsed() >= Duration::from_millis(250),
        "they are kept for a moment"
    );
    assert_eq!(here.held(), 0);
}

#[tokio::test]
async fn what_was_read_and_not_wanted_is_given_back() {
    let server = server();
    let (here, there, publisher) = (
        redis(&server.url()).await,
        redis(&server.url()).await,
        redis(&server.url()).await,
    );
    let reading = async {
        let queues = ["default".into()];
        let taking = here.take(&queues, 8, DEADLINE);
        tokio::pin!(taking);
        assert!(futures::poll!(&mut taking).is_pending());
        eventually("the reader waits", || async {
            ask::<bool>(&server.url(), &["EXISTS", STREAM]).await
        })
        .await;
        publisher.publish(entries(1, 0..8)).await.expect("publish");
        eventually("it has read", || async { here.held() == 8 }).await;
    };
    // The taker was never polled again, so it has taken nothing.
    reading.await;
    take_all(&there, 1, 0..8).await;
}

#[tokio::test]
async fn replicas_lend_each_other_while_redis_is_away() {
    let mut server = server();
    let (rich, poor) = (redis(&server.url()).await, Arc::new(redis(&server.url()).await));
    server.kill();
    rich.publish(vec![
        entry(1, 0, Lane::High),
        entry(1, 1, Lane::Low),
        entry(1, 2, Lane::Low),
    ])
    .await
    .expect("publish");
    let taking = tokio::spawn({
        let poor = Arc::clone(&poor);
        async move { take(&*poor, 2).await }
    });
    eventually("it is wanted", || async {
        poor.wanted() == [("default".to_owned(), 2)]
    })
    .await;
    let lent = rich.lend("default", 2);
    assert_eq!(
        lent.iter().map(|entry| entry.lane).collect::<Vec<_>>(),
        [Lane::High, Lane::Low]
    );
    poor.borrow_in(lent).expect("room");
    assert_eq!(tasks(&taking.await.expect("join")), [(1, 0), (1, 1)]);
    assert_eq!(rich.held(), 1);
    assert!(rich.lend("other", 5).is_empty());
}

#[tokio::test]
async fn a_full_redis_is_done_without_until_it_has_room() {
    let server = server_with(&["--maxmemory", "3mb"]);
    let url = server.url();
    let (publisher, taker) = (redis(&url).await, redis(&url).await);
    let mut published = 0;
    while !*publisher.away().borrow() {
        assert!(published < 200_000, "it is never full");
        publisher
            .publish(entries(1, published..published + 1_000))
            .await
            .expect("publish");
        published += 1_000;
    }
    assert!(publisher.held() > 0);
    ask::<()>(&url, &["CONFIG", "SET", "maxmemory", "100mb"]).await;
    let began = Instant::now();
    let mut away = publisher.away();
    tokio::time::timeout(DEADLINE, away.wait_for(|away| !away))
        .await
        .expect("it is back")
        .expect("alive");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    take_all(&taker, 1, 0..published).await;
}

#[tokio::test]
async fn closing_gives_everything_to_the_others() {
    let server = server();
    let (leaving, staying) = (redis(&server.url()).await, redis(&server.url()).await);
    let taken = {
        leaving.publish(entries(1, 0..1)).await.expect("publish");
        take(&leaving, 1).await
    };
    leaving.settle(taken.into_iter().map(|taken| taken.receipt).collect());
    leaving.borrow_in(entries(1, 1..4)).expect("room");
    leaving.close().await;
    assert_eq!(leaving.held(), 0);
    let began = Instant::now();
    assert_eq!(take(&staying, 3).await.len(), 3);
    assert!(began.elapsed() < Duration::from_secs(1), "nothing has to be claimed");
    nothing_comes(&staying).await;
}

/// Relays to a port. What it has relayed so far hangs for good when it is told so; new connections are relayed.
async fn relay(to: u16, mut hang: tokio::sync::watch::Receiver<()>) -> u16 {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("listen");
    let port = listener.local_addr().expect("address").port();
    hang.mark_unchanged();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut hang = hang.clone();
            hang.mark_unchanged();
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(("127.0.0.1", to))
                    .await
                    .expect("connect");
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                    _ = hang.changed() => {}
                }
                // Both ends stay open, and nothing passes any more.
                std::future::pending::<()>().await;
            });
        }
    });
    port
}

#[tokio::test]
async fn connections_that_hang_for_good_are_replaced() {
    let server = server();
    let (hang, hangs) = tokio::sync::watch::channel(());
    let port = relay(server.port(), hangs).await;
    let dispatch = redis(&format!("redis://127.0.0.1:{port}")).await;
    dispatch.publish(entries(1, 0..1)).await.expect("publish");
    take_all(&dispatch, 1, 0..1).await;
    hang.send_replace(());
    let began = Instant::now();
    dispatch.publish(entries(1, 1..3)).await.expect("kept here instead");
    let mut away = dispatch.away();
    tokio::time::timeout(DEADLINE, away.wait_for(|away| !away))
        .await
        .expect("it is back")
        .expect("alive");
    println!("hung for {:?}", began.elapsed());
    let other = redis(&server.url()).await;
    take_all(&other, 1, 1..3).await;
    other.publish(entries(1, 3..4)).await.expect("publish");
    drop(other);
    take_all(&dispatch, 1, 3..4).await;
}
