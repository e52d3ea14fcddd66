//! What follows from the feed.

use nexus_api::notifications::v1::delivery::{State, Suppression};

use super::*;
use crate::store::{OutcomeRow, Watch};

pub(super) async fn what_follows_is_written_with_the_positions_or_not_at_all(store: &dyn Store) {
    assert_eq!(store.positions().await.expect("read"), []);
    store.begin(&[(0, 5), (1, 0)]).await.expect("begun");
    store.begin(&[(0, 99), (2, 3)]).await.expect("begun again");
    assert_eq!(store.positions().await.expect("read"), [(0, 5), (1, 0), (2, 3)]);
    let record = |found, next, id: &str| Record {
        positions: vec![(0, found, next), (1, 0, 1)],
        deliveries: vec![message(id, "c", 0)],
        ..Record::default()
    };
    assert!(!store.record(&record(4, 6, "stale")).await.expect("looked at"));
    assert!(store.delivery(&here(), "stale").await.expect("read").is_none());
    assert_eq!(store.positions().await.expect("read"), [(0, 5), (1, 0), (2, 3)]);
    assert!(store.record(&record(5, 8, "one")).await.expect("recorded"));
    assert_eq!(store.positions().await.expect("read"), [(0, 8), (1, 1), (2, 3)]);
    assert!(
        !store.record(&record(5, 8, "two")).await.expect("looked at"),
        "it was read already"
    );
    assert!(store.delivery(&here(), "two").await.expect("read").is_none());
    store.jump(2, 70).await.expect("jumped");
    assert_eq!(store.positions().await.expect("read"), [(0, 8), (1, 1), (2, 70)]);
}

pub(super) async fn an_event_that_is_read_again_has_one_message(store: &dyn Store) {
    deliver(store, vec![message("a", "c", 0)]).await;
    let taken = store.claim("default", "c", 9, 60_000_000).await.expect("claimed");
    deliver(store, vec![message("a", "c", 0), message("b", "c", 0)]).await;
    let row = store.delivery(&here(), "a").await.expect("read").expect("there");
    assert_eq!(
        (row.state, row.fence),
        (State::Sending, taken[0].fence),
        "it is left alone"
    );
    assert_eq!(row.notice.execution, "execution of a");
    assert!(store.delivery(&here(), "b").await.expect("read").is_some());
}

pub(super) async fn a_thousand_events_of_a_group_are_one_message(store: &dyn Store) {
    let far = i64::MAX / 4;
    let grouped = |id: &str| NewDelivery {
        group_until: far,
        ..message(id, "c", 0)
    };
    deliver(store, vec![grouped("first")]).await;
    deliver(
        store,
        (0..999).map(|number| grouped(&format!("m{number:03}"))).collect(),
    )
    .await;
    let first = store.delivery(&here(), "first").await.expect("read").expect("there");
    assert_eq!((first.group_size, first.state), (1_000, State::Pending));
    let few = store.members("first", 5).await.expect("members");
    assert_eq!(few.len(), 5);
    let same =
        |row: &crate::store::DeliveryRow| row.state == State::Suppressed && row.suppression == Suppression::Grouped;
    assert!(few.iter().all(same));
    assert!(few.iter().all(|row| row.grouped_into == "first" && row.finished_at > 0));
    let taken = store.claim("default", "c", 50, 60_000_000).await.expect("claimed");
    assert_eq!(taken.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["first"]);
    assert_eq!(taken[0].group_size, 1_000);
    deliver(store, vec![grouped("late")]).await;
    let late = store.delivery(&here(), "late").await.expect("read").expect("there");
    assert_eq!(late.state, State::Pending, "what is being sent takes no more in");
    let other_rule = NewDelivery {
        rule: "other".to_owned(),
        ..grouped("other")
    };
    deliver(store, vec![other_rule]).await;
    let other = store.delivery(&here(), "other").await.expect("read").expect("there");
    assert_eq!(other.state, State::Pending, "another rule's is another group");
}

fn watch(id: &str, execution: &str, due_at: i64) -> Watch {
    Watch {
        id: id.to_owned(),
        namespace: "default".to_owned(),
        execution: execution.to_owned(),
        rule: "r".to_owned(),
        due_at,
        notice: Notice {
            workflow: "etl".to_owned(),
            ..Notice::default()
        },
    }
}

pub(super) async fn watches_end_once_and_with_their_execution(store: &dyn Store) {
    let far = i64::MAX / 4;
    let record = Record {
        watches: vec![watch("a", "x", 1), watch("b", "y", 2), watch("c", "z", far)],
        ..Record::default()
    };
    assert!(store.record(&record).await.expect("recorded"));
    let due = store.due_watches(10).await.expect("due");
    assert_eq!(due, [watch("a", "x", 1), watch("b", "y", 2)]);
    let over = Record {
        finished: vec!["y".to_owned()],
        ..Record::default()
    };
    assert!(store.record(&over).await.expect("recorded"));
    assert!(!store.end_watch("b", &[message("m", "c", 0)]).await.expect("ended"));
    assert!(store.delivery(&here(), "m").await.expect("read").is_none());
    assert!(store.end_watch("a", &[message("m", "c", 0)]).await.expect("ended"));
    assert!(!store.end_watch("a", &[message("n", "c", 0)]).await.expect("ended"));
    assert!(store.delivery(&here(), "m").await.expect("read").is_some());
    assert!(store.delivery(&here(), "n").await.expect("read").is_none());
}

pub(super) async fn outcomes_are_kept_by_workflow(store: &dyn Store) {
    let outcome = |workflow: &str, failed, durations: Vec<i64>| OutcomeRow {
        namespace: "default".to_owned(),
        workflow: workflow.to_owned(),
        failed,
        finished_at: 9,
        durations,
    };
    let first = vec![outcome("a", true, vec![]), outcome("b", false, vec![1, 2])];
    assert!(
        store
            .record(&Record {
                outcomes: first,
                ..Record::default()
            })
            .await
            .expect("recorded")
    );
    let second = vec![outcome("a", false, vec![7])];
    assert!(
        store
            .record(&Record {
                outcomes: second,
                ..Record::default()
            })
            .await
            .expect("recorded")
    );
    let wanted = ["a", "b", "c"].map(|name| ("default".to_owned(), name.to_owned()));
    let mut found = store.outcomes(&wanted).await.expect("read");
    found.sort_by(|a, b| a.workflow.cmp(&b.workflow));
    assert_eq!(found, [outcome("a", false, vec![7]), outcome("b", false, vec![1, 2])]);
    assert_eq!(store.outcomes(&[]).await.expect("read"), []);
}

pub(super) async fn one_holds_a_lease_at_a_time(store: &dyn Store) {
    assert!(store.lease("feed", "a", 60_000_000).await.expect("asked"));
    assert!(!store.lease("feed", "b", 60_000_000).await.expect("asked"));
    assert!(store.lease("other", "b", 60_000_000).await.expect("asked"));
    assert!(
        store.lease("feed", "a", -1_000_000).await.expect("asked"),
        "its own goes on"
    );
    assert!(
        store.lease("feed", "b", 60_000_000).await.expect("asked"),
        "it has run out"
    );
    store.release("feed", "a").await.expect("released");
    assert!(
        !store.lease("feed", "a", 1).await.expect("asked"),
        "another's is not released"
    );
    store.release("feed", "b").await.expect("released");
    assert!(store.lease("feed", "a", 1).await.expect("asked"));
}
