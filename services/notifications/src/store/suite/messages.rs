//! Messages: taken, sent, tried again.

use nexus_api::notifications::v1::DeliveryAttempt;
use nexus_api::notifications::v1::delivery::{State, Suppression};

use super::*;
use crate::store::{DeliveryRow, Filter, Finish, Verdict};

const MINUTE: i64 = 60_000_000;

async fn row(store: &dyn Store, id: &str) -> DeliveryRow {
    store.delivery(&here(), id).await.expect("read").expect("there")
}

async fn claim(store: &dyn Store, channel: &str) -> Vec<DeliveryRow> {
    store.claim("default", channel, 10, MINUTE).await.expect("claimed")
}

fn finish(row: &DeliveryRow, verdict: Verdict) -> Finish {
    let delivered = verdict == Verdict::Delivered;
    Finish {
        id: row.id.clone(),
        fence: row.fence,
        verdict,
        problem: if delivered { String::new() } else { "no".to_owned() },
        attempt: Some(DeliveryAttempt {
            delivered,
            ..DeliveryAttempt::default()
        }),
    }
}

pub(super) async fn a_message_is_taken_by_one_and_its_end_counts_with_the_fence(store: &dyn Store) {
    deliver(store, vec![message("a", "c", 0), message("b", "d", 0)]).await;
    let mut due = store.due_channels().await.expect("due");
    due.sort();
    let expected = ["c", "d"].map(|channel| ("default".to_owned(), channel.to_owned()));
    assert_eq!(due, expected);
    let taken = claim(store, "c").await;
    assert_eq!((taken.len(), taken[0].attempts, taken[0].state), (1, 1, State::Sending));
    assert!(claim(store, "c").await.is_empty(), "somebody has it");
    assert_eq!(store.due_channels().await.expect("due"), expected[1..]);
    let stale = Finish {
        fence: taken[0].fence - 1,
        ..finish(&taken[0], Verdict::Dead)
    };
    assert!(!store.finish(&stale).await.expect("looked at"));
    assert!(
        store
            .finish(&finish(&taken[0], Verdict::Delivered))
            .await
            .expect("finished")
    );
    assert!(
        !store
            .finish(&finish(&taken[0], Verdict::Dead))
            .await
            .expect("looked at"),
        "it is over"
    );
    let over = row(store, "a").await;
    assert_eq!((over.state, over.problem.as_str()), (State::Delivered, ""));
    assert!(over.finished_at > 0);
    let attempts = store.attempts("a").await.expect("attempts");
    assert_eq!(
        attempts
            .iter()
            .map(|attempt| (attempt.number, attempt.delivered))
            .collect::<Vec<_>>(),
        [(1, true)]
    );
}

pub(super) async fn what_is_not_due_waits_and_who_is_lost_loses_it(store: &dyn Store) {
    assert_eq!(store.waiting().await.expect("waiting").next, None);
    deliver(store, vec![message("a", "c", i64::MAX / 4)]).await;
    assert!(claim(store, "c").await.is_empty() && store.due_channels().await.expect("due").is_empty());
    assert!(
        store
            .waiting()
            .await
            .expect("waiting")
            .next
            .is_some_and(|micros| micros > MINUTE)
    );
    deliver(store, vec![message("b", "c", 0)]).await;
    assert!(store.waiting().await.expect("waiting").oldest > 0);
    let lost = store.claim("default", "c", 10, -1).await.expect("claimed");
    let again = claim(store, "c").await;
    assert_eq!((again[0].id.as_str(), again[0].attempts), ("b", 2));
    assert!(again[0].fence > lost[0].fence);
    assert!(
        !store.finish(&finish(&lost[0], Verdict::Dead)).await.expect("looked at"),
        "it counts no more"
    );
    assert!(
        store
            .finish(&finish(&again[0], Verdict::Delivered))
            .await
            .expect("finished")
    );
}

pub(super) async fn a_message_is_tried_again_dead_or_delivered_again(store: &dyn Store) {
    deliver(store, vec![message("a", "c", 0)]).await;
    let first = claim(store, "c").await.remove(0);
    assert!(
        store
            .finish(&finish(&first, Verdict::Again(-1)))
            .await
            .expect("finished")
    );
    assert_eq!(
        (row(store, "a").await.state, row(store, "a").await.problem.as_str()),
        (State::Retrying, "no")
    );
    let second = claim(store, "c").await.remove(0);
    assert_eq!((second.attempts, second.tries), (2, 2));
    let held = Finish {
        attempt: None,
        ..finish(&second, Verdict::Wait(-1))
    };
    assert!(store.finish(&held).await.expect("finished"));
    let third = claim(store, "c").await.remove(0);
    assert_eq!((third.attempts, third.tries), (2, 2), "what only waited was no attempt");
    assert!(store.finish(&finish(&third, Verdict::Dead)).await.expect("finished"));
    assert_eq!(row(store, "a").await.state, State::Dead);
    assert!(claim(store, "c").await.is_empty());
    assert!(store.redeliver(&here(), "a").await.expect("redelivered"));
    let fourth = claim(store, "c").await.remove(0);
    assert_eq!((fourth.attempts, fourth.tries), (3, 1), "it has all its tries again");
    assert!(
        !store.redeliver(&here(), "a").await.expect("looked at"),
        "it is being sent"
    );
    let why = Verdict::Suppressed(Suppression::ChannelDisabled);
    let muted = Finish {
        attempt: None,
        ..finish(&fourth, why)
    };
    assert!(store.finish(&muted).await.expect("finished"));
    let told = row(store, "a").await;
    assert_eq!(
        (told.state, told.suppression),
        (State::Suppressed, Suppression::ChannelDisabled)
    );
    let other: Namespace = "other".parse().expect("a namespace");
    assert!(!store.redeliver(&other, "a").await.expect("looked at"));
    assert!(!store.redeliver(&here(), "nobody\0").await.expect("looked at"));
}

pub(super) async fn a_pace_lets_a_burst_go_and_then_one_at_a_time(store: &dyn Store) {
    let hour = 60 * MINUTE;
    for _ in 0..3 {
        assert_eq!(store.pace("default", "c", hour, 3).await.expect("asked"), None);
    }
    let wait = store
        .pace("default", "c", hour, 3)
        .await
        .expect("asked")
        .expect("it has had enough");
    assert!(wait > hour - MINUTE && wait <= hour, "{wait}");
    assert_eq!(
        store.pace("default", "d", hour, 3).await.expect("asked"),
        None,
        "another channel"
    );
}

pub(super) async fn messages_are_listed_by_what_is_asked_for(store: &dyn Store) {
    deliver(store, vec![message("a", "c", 0)]).await;
    deliver(store, vec![message("b", "c", 0), message("e", "d", 0)]).await;
    let taken = claim(store, "d").await;
    assert!(
        store
            .finish(&finish(&taken[0], Verdict::Delivered))
            .await
            .expect("finished")
    );
    let ids = |rows: Vec<DeliveryRow>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    let all = store
        .deliveries(&here(), &Filter::default(), None, 10)
        .await
        .expect("list");
    assert_eq!(ids(all.clone()), ["e", "b", "a"], "the newest first");
    let before = Some((all[0].created_at, all[0].id.as_str()));
    assert_eq!(
        ids(store
            .deliveries(&here(), &Filter::default(), before, 1)
            .await
            .expect("list")),
        ["b"]
    );
    let of = |filter: Filter| async move { ids(store.deliveries(&here(), &filter, None, 10).await.expect("list")) };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        of(Filter {
            channel: text("c"),
            ..Filter::default()
        })
        .await,
        ["b", "a"]
    );
    let delivered = Some(i64::from(i32::from(State::Delivered)));
    assert_eq!(
        of(Filter {
            state: delivered,
            ..Filter::default()
        })
        .await,
        ["e"]
    );
    assert_eq!(
        of(Filter {
            execution: text("execution of a"),
            ..Filter::default()
        })
        .await,
        ["a"]
    );
    assert!(
        of(Filter {
            rule: text("other"),
            ..Filter::default()
        })
        .await
        .is_empty()
    );
    assert!(
        of(Filter {
            rule: text("r\0"),
            ..Filter::default()
        })
        .await
        .is_empty()
    );
    let other: Namespace = "other".parse().expect("a namespace");
    assert!(
        store
            .deliveries(&other, &Filter::default(), None, 10)
            .await
            .expect("list")
            .is_empty()
    );
}

pub(super) async fn old_messages_go_in_batches(store: &dyn Store) {
    deliver(
        store,
        (0..5).map(|number| message(&format!("m{number}"), "c", 0)).collect(),
    )
    .await;
    deliver(store, vec![message("open", "d", 0)]).await;
    for taken in claim(store, "c").await {
        assert!(
            store
                .finish(&finish(&taken, Verdict::Delivered))
                .await
                .expect("finished")
        );
    }
    assert_eq!(
        store.sweep(60 * MINUTE, 3).await.expect("swept"),
        0,
        "nothing is old yet"
    );
    assert_eq!(store.sweep(-MINUTE, 3).await.expect("swept"), 3);
    assert_eq!(store.sweep(-MINUTE, 3).await.expect("swept"), 2);
    assert!(store.attempts("m0").await.expect("attempts").is_empty());
    assert!(
        store.delivery(&here(), "open").await.expect("read").is_some(),
        "what is on its way stays"
    );
}
