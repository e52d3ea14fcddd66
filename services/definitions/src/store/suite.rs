//! What every adapter must do: generic over the port, stamped for each adapter below.

use std::collections::BTreeMap;
use std::path::Path;

use nexus_api::Namespace;
use nexus_service::idempotency::RequestKey;
use nexus_storage::postgres::Options;

use super::postgres::PostgresStore;
use super::{Expected, ListFilter, NewRevision, Store, StoreError, WorkflowRow, Write, Written};

fn write(name: &str, expected: Expected, source: &str) -> Write {
    let revision = NewRevision {
        digest: format!("digest of {source}"),
        source: source.to_owned(),
        document: format!("{{\"x\":\"{source}\"}}"),
        message: "why".into(),
        task_count: 3,
    };
    Write {
        expected,
        namespace: Namespace::default(),
        name: name.to_owned(),
        description: "words".into(),
        labels: BTreeMap::from([("team".to_owned(), "data".to_owned())]),
        revision: Some(revision),
        request: None,
        at: 1_000,
    }
}

fn here() -> Namespace {
    Namespace::default()
}

async fn done(store: &dyn Store, wanted: Write) -> WorkflowRow {
    match store.write(wanted).await.expect("write") {
        Written::Done(row) => row,
        Written::Unexpected => panic!("the expectation should have held"),
    }
}

async fn revisions_have_no_gaps_and_survive_deletion(store: &dyn Store) {
    let first = done(store, write("a", Expected::Absent, "one")).await;
    assert_eq!((first.latest_revision, first.task_count), (1, 3));
    let second = done(store, write("a", Expected::Version(first.version), "two")).await;
    assert_eq!(second.latest_revision, 2);
    let stale = store
        .write(write("a", Expected::Version(first.version), "three"))
        .await
        .expect("write");
    assert_eq!(stale, Written::Unexpected);
    assert_eq!(
        store.write(write("a", Expected::Absent, "x")).await.expect("write"),
        Written::Unexpected
    );
    assert!(
        !store
            .delete(&here(), "a", Some(first.version), 5)
            .await
            .expect("delete"),
        "an old version deletes nothing"
    );
    assert!(
        store
            .delete(&here(), "a", Some(second.version), 5)
            .await
            .expect("delete")
    );
    assert!(store.workflow(&here(), "a").await.expect("get").is_none());
    let kept = store
        .revision(&here(), "a", 1)
        .await
        .expect("revision")
        .expect("is kept");
    assert_eq!(kept.source, "one");
    let again = done(store, write("a", Expected::Absent, "three")).await;
    assert_eq!(again.latest_revision, 3, "numbers go on");
    let numbers: Vec<u32> = store
        .revisions(&here(), "a", 3, 10)
        .await
        .expect("list")
        .iter()
        .map(|revision| revision.number)
        .collect();
    assert_eq!(numbers, [2, 1]);
}

async fn lists_page_and_filter(store: &dyn Store) {
    for name in ["a", "b", "ba", "c"] {
        done(store, write(name, Expected::Absent, "x")).await;
    }
    let names = |rows: Vec<WorkflowRow>| rows.into_iter().map(|row| row.name).collect::<Vec<_>>();
    let all = ListFilter::default();
    assert_eq!(names(store.list(&here(), &all, "", 2).await.expect("list")), ["a", "b"]);
    assert_eq!(
        names(store.list(&here(), &all, "b", 10).await.expect("list")),
        ["ba", "c"]
    );
    let part = ListFilter {
        name_part: Some("b".into()),
        ..ListFilter::default()
    };
    assert_eq!(
        names(store.list(&here(), &part, "", 10).await.expect("list")),
        ["b", "ba"]
    );
    let labelled = ListFilter {
        labels: vec![("team".into(), "other".into())],
        ..ListFilter::default()
    };
    assert!(store.list(&here(), &labelled, "", 10).await.expect("list").is_empty());
}

async fn a_request_is_remembered(store: &dyn Store) {
    let request = RequestKey::of(&here(), "id", || "print".to_owned());
    done(
        store,
        Write {
            request,
            ..write("a", Expected::Absent, "x")
        },
    )
    .await;
    assert_eq!(
        store.request(&here(), "id").await.expect("request"),
        Some(("a".into(), "print".into()))
    );
    assert_eq!(store.request(&here(), "other").await.expect("request"), None);
}

async fn what_is_no_revision_keeps_the_number(store: &dyn Store) {
    let first = done(store, write("a", Expected::Absent, "x")).await;
    let renamed = Write {
        revision: None,
        description: "other words".into(),
        ..write("a", Expected::Version(first.version), "x")
    };
    let second = done(store, renamed).await;
    assert_eq!((second.latest_revision, second.task_count), (1, 3));
    assert_eq!(second.description, "other words");
}

async fn names_page_by_their_bytes_and_parts_are_plain(store: &dyn Store) {
    let names = ["B_1", "a%b", "a_b", "axb", "ä", "日本", "🦀"];
    for name in names {
        done(store, write(name, Expected::Absent, "x")).await;
    }
    let mut after = String::new();
    for name in names {
        let page = store
            .list(&here(), &ListFilter::default(), &after, 1)
            .await
            .expect("list");
        assert_eq!(page[0].name, name);
        after = name.to_owned();
    }
    for (part, expected) in [
        ("_", vec!["B_1", "a_b"]),
        ("%", vec!["a%b"]),
        ("本", vec!["日本"]),
        ("A", vec![]),
    ] {
        let filter = ListFilter {
            name_part: Some(part.into()),
            ..ListFilter::default()
        };
        let found: Vec<String> = store
            .list(&here(), &filter, "", 10)
            .await
            .expect("list")
            .into_iter()
            .map(|row| row.name)
            .collect();
        assert_eq!(found, expected, "{part}");
    }
    let both = ListFilter {
        labels: vec![("team".into(), "data".into()), ("team".into(), "other".into())],
        ..ListFilter::default()
    };
    assert!(
        store.list(&here(), &both, "", 10).await.expect("list").is_empty(),
        "every label has to fit"
    );
    let nul = ListFilter {
        name_part: Some("a\0".into()),
        ..ListFilter::default()
    };
    assert!(store.list(&here(), &nul, "", 10).await.expect("list").is_empty());
    assert!(store.workflow(&here(), "a\0").await.expect("get").is_none());
}

async fn of_writers_at_once_one_wins(store: &dyn Store) {
    let mut version = None;
    for round in 1..=5 {
        let expected = version.map_or(Expected::Absent, Expected::Version);
        let writers = (0..8).map(|writer| store.write(write("a", expected, &format!("{round} by {writer}"))));
        let mut winners = Vec::new();
        for outcome in futures::future::join_all(writers).await {
            match outcome.expect("write") {
                Written::Done(row) => winners.push(row),
                Written::Unexpected => {}
            }
        }
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(winners[0].latest_revision, round);
        version = Some(winners[0].version);
    }
}

async fn namespaces_hold_the_same_names_and_know_nothing_of_each_other(store: &dyn Store) {
    let (one, other): (Namespace, Namespace) = (here(), "team-a".parse().expect("a namespace"));
    for (namespace, words) in [(&one, "one"), (&other, "other")] {
        let row = done(
            store,
            Write {
                namespace: namespace.clone(),
                description: words.into(),
                request: RequestKey::of(namespace, "id", || words.to_owned()),
                ..write("a", Expected::Absent, words)
            },
        )
        .await;
        assert_eq!(
            (&row.namespace, row.name.as_str(), row.latest_revision),
            (namespace, "a", 1)
        );
    }
    done(
        store,
        Write {
            namespace: other.clone(),
            ..write("team", Expected::Absent, "x")
        },
    )
    .await;
    for (namespace, words) in [(&one, "one"), (&other, "other")] {
        let row = store.workflow(namespace, "a").await.expect("get").expect("there");
        assert_eq!(row.description, words);
        let revision = store.revision(namespace, "a", 1).await.expect("get").expect("there");
        assert_eq!((revision.source.as_str(), revision.workflow.as_str()), (words, "a"));
        assert_eq!(store.revisions(namespace, "a", 0, 9).await.expect("list").len(), 1);
        let request = store.request(namespace, &namespace.key("id")).await.expect("request");
        assert_eq!(request, Some(("a".into(), words.to_owned())));
    }
    let names = async |namespace: &Namespace, filter: &ListFilter, after: &str| {
        let rows = store.list(namespace, filter, after, 10).await.expect("list");
        rows.into_iter().map(|row| row.name).collect::<Vec<_>>()
    };
    let all = ListFilter::default();
    assert_eq!(names(&one, &all, "").await, ["a"]);
    assert_eq!(names(&other, &all, "").await, ["a", "team"]);
    assert_eq!(names(&other, &all, "a").await, ["team"]);
    let part = ListFilter {
        name_part: Some("team".into()),
        ..ListFilter::default()
    };
    assert_eq!(
        names(&other, &part, "").await,
        ["team"],
        "the namespace is not part of a name"
    );
    for typed in ["team-a/a", "default/a"] {
        let named = ListFilter {
            name: Some(typed.into()),
            ..ListFilter::default()
        };
        for namespace in [&one, &other] {
            assert_eq!(store.workflow(namespace, typed).await.expect("get"), None);
            assert_eq!(store.revision(namespace, typed, 1).await.expect("get"), None);
            assert!(store.revisions(namespace, typed, 0, 9).await.expect("list").is_empty());
            assert!(names(namespace, &named, "").await.is_empty());
            assert!(!store.delete(namespace, typed, None, 5).await.expect("delete"));
        }
    }
    assert!(!store.delete(&one, "team", None, 5).await.expect("delete"), "another's");
    assert!(store.delete(&other, "a", None, 5).await.expect("delete"));
    assert!(store.workflow(&one, "a").await.expect("get").is_some());
}

nexus_service::conformance! {
    adapters: { sqlite: crate::store::sqlite::SqliteStore::open, postgres: in_postgres },
    tests: [
        revisions_have_no_gaps_and_survive_deletion,
        lists_page_and_filter,
        a_request_is_remembered,
        what_is_no_revision_keeps_the_number,
        names_page_by_their_bytes_and_parts_are_plain,
        of_writers_at_once_one_wins,
        namespaces_hold_the_same_names_and_know_nothing_of_each_other,
    ],
}

/// A store in a database of its own.
pub(crate) async fn in_postgres(_: &Path) -> Result<PostgresStore, StoreError> {
    let server = nexus_servers::Postgres::shared().expect("a private Postgres");
    let url = server.fresh_database().await.expect("a database");
    let store = PostgresStore::connect(&url, Options::default()).await?;
    store.migrate().await?;
    store.verify().await?;
    Ok(store)
}

#[tokio::test]
async fn writes_go_on_while_connections_are_cut() {
    use sqlx::Connection;
    let server = nexus_servers::Postgres::shared().expect("a private Postgres");
    let url = server.fresh_database().await.expect("a database");
    let store = PostgresStore::connect(&url, Options::default()).await.expect("connect");
    store.migrate().await.expect("migrate");
    let mut killer = sqlx::PgConnection::connect(&url).await.expect("connect");
    let wrote = std::cell::Cell::new(0);
    let killing = async {
        let (mut pause, mut seen) = (15, 0);
        loop {
            sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .execute(&mut killer)
            .await
            .expect("terminate");
            tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
            // A machine on which a write takes longer than the pause would never get one done: each gets more time until
            // one was.
            pause = if seen == wrote.get() {
                (pause * 2).min(1_000)
            } else {
                15
            };
            seen = wrote.get();
        }
    };
    let writing = async {
        let mut expected = Expected::Absent;
        for number in 1..=40 {
            let row = done(&store, write("a", expected, &number.to_string())).await;
            assert_eq!(row.latest_revision, number, "each is written once");
            expected = Expected::Version(row.version);
            wrote.set(number);
        }
    };
    tokio::select! {
        () = writing => {}
        () = killing => {}
    }
}

#[tokio::test]
async fn what_postgres_cannot_store_is_refused_by_name() {
    let store = in_postgres(Path::new("")).await.expect("open");
    let nul = Write {
        description: "a\0b".into(),
        ..write("a", Expected::Absent, "x")
    };
    let refused = store.write(nul).await.expect_err("NUL");
    assert!(
        matches!(refused, StoreError::Unstorable { field: "description" }),
        "{refused}"
    );
}
