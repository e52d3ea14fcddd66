//! What every adapter must do: generic over the port, stamped for each adapter below.

mod feed;
mod messages;

use std::path::Path;

use nexus_api::Namespace;
use nexus_api::notifications::v1::{Event, Notice};
use nexus_service::idempotency::RequestKey;
use nexus_storage::postgres::Options;

use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::{Expected, Kept, Kind, NewDelivery, Put, Record, Store, StoreError};
use feed::*;
use messages::*;

fn here() -> Namespace {
    Namespace::default()
}

fn put(kind: Kind, name: &str, expected: Expected) -> Put {
    Put {
        kind,
        expected,
        namespace: here(),
        name: name.to_owned(),
        content: vec![1, 0, 2],
        at: 5,
        by: "user:anna".to_owned(),
        request: None,
    }
}

fn absent() -> Expected {
    Expected::Absent { most: 100 }
}

async fn made(store: &dyn Store, kind: Kind, name: &str) -> Kept {
    store
        .put(put(kind, name, absent()))
        .await
        .expect("put")
        .expect("it was absent")
}

fn message(id: &str, channel: &str, due_at: i64) -> NewDelivery {
    NewDelivery {
        id: id.to_owned(),
        namespace: "default".to_owned(),
        rule: "r".to_owned(),
        channel: channel.to_owned(),
        notice: Notice {
            event: Event::Failed.into(),
            execution: format!("execution of {id}"),
            ..Notice::default()
        },
        due_at,
        group_until: 0,
        suppression: None,
    }
}

/// Makes messages, as a page of the feed would.
async fn deliver(store: &dyn Store, deliveries: Vec<NewDelivery>) {
    let record = Record {
        deliveries,
        ..Record::default()
    };
    assert!(store.record(&record).await.expect("recorded"));
}

async fn what_is_put_is_there_in_its_namespace_and_changes_with_its_version(store: &dyn Store) {
    let first = made(store, Kind::Channel, "a").await;
    assert_eq!(
        store.kept(Kind::Channel, &here(), "a").await.expect("read"),
        Some(first.clone())
    );
    assert_eq!(store.kept(Kind::Rule, &here(), "a").await.expect("read"), None);
    let other: Namespace = "other".parse().expect("a namespace");
    assert_eq!(store.kept(Kind::Channel, &other, "a").await.expect("read"), None);
    let again = store.put(put(Kind::Channel, "a", absent())).await.expect("put");
    assert_eq!(again, None, "it is there already");
    let stale = Expected::There(Some(first.version - 1));
    assert_eq!(store.put(put(Kind::Channel, "a", stale)).await.expect("put"), None);
    let changed = Put {
        at: 9,
        by: "user:bert".to_owned(),
        content: vec![7],
        ..put(Kind::Channel, "a", Expected::There(Some(first.version)))
    };
    let second = store.put(changed).await.expect("put").expect("it was there");
    assert!(second.version > first.version);
    assert_eq!((second.created_at, second.updated_at), (5, 9));
    assert_eq!(
        (second.created_by.as_str(), second.updated_by.as_str()),
        ("user:anna", "user:bert")
    );
    let nobody = Expected::There(None);
    assert_eq!(store.put(put(Kind::Channel, "b", nobody)).await.expect("put"), None);
    assert!(
        !store
            .delete(Kind::Channel, &here(), "a", Some(first.version))
            .await
            .expect("delete")
    );
    assert!(
        store
            .delete(Kind::Channel, &here(), "a", Some(second.version))
            .await
            .expect("delete")
    );
    assert!(!store.delete(Kind::Channel, &here(), "a", None).await.expect("delete"));
    let third = made(store, Kind::Channel, "a").await;
    assert!(third.version > second.version, "a version is never given twice");
    assert_eq!(store.kept(Kind::Channel, &here(), "a\0").await.expect("read"), None);
}

async fn a_namespace_has_so_many_and_lists_page_by_name(store: &dyn Store) {
    for name in ["a", "b", "c"] {
        made(store, Kind::Rule, name).await;
    }
    let full = Expected::Absent { most: 3 };
    assert_eq!(store.put(put(Kind::Rule, "d", full)).await.expect("put"), None);
    assert!(
        store.put(put(Kind::Channel, "d", full)).await.expect("put").is_some(),
        "another kind"
    );
    let names = |rows: Vec<Kept>| rows.into_iter().map(|row| row.name).collect::<Vec<_>>();
    assert_eq!(
        names(store.list(Kind::Rule, &here(), "", 2).await.expect("list")),
        ["a", "b"]
    );
    assert_eq!(
        names(store.list(Kind::Rule, &here(), "b", 2).await.expect("list")),
        ["c"]
    );
    let elsewhere = Put {
        namespace: "b".parse().expect("a namespace"),
        ..put(Kind::Rule, "z", absent())
    };
    store.put(elsewhere).await.expect("put");
    let all = store.rules(("", ""), 10).await.expect("rules");
    let spaces: Vec<_> = all
        .iter()
        .map(|row| (row.namespace.to_string(), row.name.clone()))
        .collect();
    let expected = [("b", "z"), ("default", "a"), ("default", "b"), ("default", "c")];
    assert_eq!(
        spaces,
        expected.map(|(space, name)| (space.to_owned(), name.to_owned()))
    );
    assert_eq!(names(store.rules(("default", "b"), 10).await.expect("rules")), ["c"]);
}

async fn a_request_creates_once_and_every_change_is_seen(store: &dyn Store) {
    let before = store.generation().await.expect("a number");
    let request = RequestKey::of(&here(), "id", || "print".to_owned());
    let asked = Put {
        request: request.clone(),
        ..put(Kind::Channel, "a", absent())
    };
    assert!(store.put(asked).await.expect("put").is_some());
    let found = store.requested("id").await.expect("read");
    assert_eq!(found, Some(("a".to_owned(), "print".to_owned())));
    let other = Put {
        request,
        ..put(Kind::Channel, "b", absent())
    };
    assert_eq!(store.put(other).await.expect("put"), None, "the id is used");
    assert_eq!(store.kept(Kind::Channel, &here(), "b").await.expect("read"), None);
    let between = store.generation().await.expect("a number");
    assert!(store.delete(Kind::Channel, &here(), "a", None).await.expect("delete"));
    let after = store.generation().await.expect("a number");
    assert!(before < between && between < after, "{before} {between} {after}");
}

async fn open(directory: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(directory).await
}

async fn postgres(_: &Path) -> Result<PostgresStore, StoreError> {
    let server = nexus_servers::Postgres::shared().expect("a private Postgres");
    let url = server.fresh_database().await.expect("a database");
    let store = PostgresStore::connect(&url, Options::default()).await?;
    store.migrate().await?;
    store.verify().await?;
    Ok(store)
}

nexus_service::conformance! {
    adapters: { sqlite: open, postgres: postgres },
    tests: [
        what_is_put_is_there_in_its_namespace_and_changes_with_its_version,
        a_namespace_has_so_many_and_lists_page_by_name,
        a_request_creates_once_and_every_change_is_seen,
        what_follows_is_written_with_the_positions_or_not_at_all,
        an_event_that_is_read_again_has_one_message,
        a_thousand_events_of_a_group_are_one_message,
        watches_end_once_and_with_their_execution,
        outcomes_are_kept_by_workflow,
        one_holds_a_lease_at_a_time,
        a_message_is_taken_by_one_and_its_end_counts_with_the_fence,
        what_is_not_due_waits_and_who_is_lost_loses_it,
        a_message_is_tried_again_dead_or_delivered_again,
        a_pace_lets_a_burst_go_and_then_one_at_a_time,
        messages_are_listed_by_what_is_asked_for,
        old_messages_go_in_batches,
    ],
}
