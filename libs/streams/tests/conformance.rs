//! What every dispatcher must do: generic over the port, stamped for each adapter below.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{entries, entry, entry_in, nothing_comes, take, tasks};
use nexus_streams::{Dispatch, Lane, MemoryDispatch};

async fn a_pointer_is_on_offer_once(dispatch: impl Dispatch) {
    let twice = vec![entry(1, 0, Lane::Normal), entry(1, 0, Lane::Normal)];
    dispatch.publish(twice.clone()).await.expect("publish");
    dispatch.publish(twice).await.expect("publish");
    let taken = take(&dispatch, 1).await;
    assert_eq!(tasks(&taken), [(1, 0)]);
    nothing_comes(&dispatch).await;
    dispatch.settle(taken.into_iter().map(|taken| taken.receipt).collect());
    nothing_comes(&dispatch).await;
}

async fn what_is_settled_may_be_offered_again(dispatch: impl Dispatch) {
    for _ in 0..3 {
        dispatch.publish(entries(1, 0..1)).await.expect("publish");
        let taken = take(&dispatch, 1).await;
        dispatch.settle(taken.into_iter().map(|taken| taken.receipt).collect());
        // Settling happens in the background.
        tokio::time::sleep(common::MOMENT).await;
    }
}

async fn high_goes_first_and_low_is_not_starved(dispatch: impl Dispatch) {
    let mut all = Vec::new();
    for task in 0..100 {
        all.push(entry(1, task, Lane::High));
        all.push(entry(2, task, Lane::Normal));
        all.push(entry(3, task, Lane::Low));
    }
    dispatch.publish(all).await.expect("publish");
    let mut taken = Vec::new();
    for _ in 0..6 {
        taken.extend(tasks(&take(&dispatch, 7).await));
    }
    let of = |execution| taken.iter().filter(|(of, _)| *of == execution).count();
    assert_eq!((of(1), of(2), of(3)), (32, 8, 2), "16 : 4 : 1, twice");
}

async fn everything_comes_once(dispatch: impl Dispatch) {
    dispatch.publish(entries(1, 0..2_000)).await.expect("publish");
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 2_000 {
        let taken = take(&dispatch, 50).await;
        for taken in &taken {
            assert!(seen.insert(taken.pointer), "{:?} came twice", taken.pointer);
        }
        dispatch.settle(taken.into_iter().map(|taken| taken.receipt).collect());
    }
    nothing_comes(&dispatch).await;
}

async fn a_waiting_taker_is_woken_and_queues_are_apart(dispatch: impl Dispatch + 'static) {
    let dispatch = Arc::new(dispatch);
    let takers = ["a", "b"].map(|queue| {
        let dispatch = Arc::clone(&dispatch);
        tokio::spawn(async move { dispatch.take(&[queue.to_owned()], 1, common::DEADLINE).await })
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    dispatch
        .publish(vec![entry_in("b", 2, 0, Lane::Low), entry_in("a", 1, 0, Lane::High)])
        .await
        .expect("publish");
    let [a, b] = takers;
    assert_eq!(tasks(&a.await.expect("join").expect("take")), [(1, 0)]);
    assert_eq!(tasks(&b.await.expect("join").expect("take")), [(2, 0)]);
}

async fn a_dropped_taker_has_taken_nothing(dispatch: impl Dispatch) {
    let publishing = async {
        for task in 0..200 {
            dispatch.publish(entries(1, task..task + 1)).await.expect("publish");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let mut seen = std::collections::HashSet::new();
    let taking = async {
        while seen.len() < 200 {
            // Given up at every moment that there is.
            let patience = Duration::from_micros(fastrand::u64(0..3_000));
            let queues = ["default".to_owned()];
            let taking = dispatch.take(&queues, 4, common::DEADLINE);
            if let Ok(taken) = tokio::time::timeout(patience, taking).await {
                for taken in taken.expect("take") {
                    assert!(seen.insert(taken.pointer), "{:?} came twice", taken.pointer);
                }
            }
        }
    };
    let both = async { tokio::join!(publishing, taking) };
    tokio::time::timeout(common::DEADLINE, both)
        .await
        .expect("nothing is lost");
}

async fn one_queue_does_not_starve_another(dispatch: impl Dispatch) {
    let mut all: Vec<_> = (0..100).map(|task| entry_in("a", 1, task, Lane::Normal)).collect();
    all.extend((0..10).map(|task| entry_in("b", 2, task, Lane::Normal)));
    dispatch.publish(all).await.expect("publish");
    let queues = ["a".to_owned(), "b".to_owned()];
    let mut of_b = 0;
    let mut number = 0;
    while number < 60 {
        let taken = dispatch.take(&queues, 2, common::DEADLINE).await.expect("take");
        of_b += taken.iter().filter(|taken| taken.pointer.execution[0] == 2).count();
        number += taken.len();
    }
    assert_eq!(of_b, 10);
}

macro_rules! suite {
    ([$($test:ident),+ $(,)?]) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::MemoryDispatch::new(10_000)).await;
            })+
        }
        mod redis {
            $(#[tokio::test]
            async fn $test() {
                let server = super::common::server();
                super::$test(super::common::redis(&server.url()).await).await;
            })+
        }
    };
}

suite!([
    a_pointer_is_on_offer_once,
    what_is_settled_may_be_offered_again,
    high_goes_first_and_low_is_not_starved,
    everything_comes_once,
    a_waiting_taker_is_woken_and_queues_are_apart,
    a_dropped_taker_has_taken_nothing,
    one_queue_does_not_starve_another,
]);
