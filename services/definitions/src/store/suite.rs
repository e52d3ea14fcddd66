//! What every adapter must do: generic over the port, stamped for each adapter below.

use std::collections::BTreeMap;

use super::{Expected, ListFilter, NewRevision, Store, WorkflowRow, Write, Written};

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
        name: name.to_owned(),
        description: "words".into(),
        labels: BTreeMap::from([("team".to_owned(), "data".to_owned())]),
        revision: Some(revision),
        request: None,
        at: 1_000,
    }
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
        !store.delete("a", Some(first.version), 5).await.expect("delete"),
        "an old version deletes nothing"
    );
    assert!(store.delete("a", Some(second.version), 5).await.expect("delete"));
    assert!(store.workflow("a").await.expect("get").is_none());
    let kept = store.revision("a", 1).await.expect("revision").expect("is kept");
    assert_eq!(kept.source, "one");
    let again = done(store, write("a", Expected::Absent, "three")).await;
    assert_eq!(again.latest_revision, 3, "numbers go on");
    let numbers: Vec<u32> = store
        .revisions("a", 3, 10)
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
    assert_eq!(names(store.list(&all, "", 2).await.expect("list")), ["a", "b"]);
    assert_eq!(names(store.list(&all, "b", 10).await.expect("list")), ["ba", "c"]);
    let part = ListFilter {
        name_part: Some("b".into()),
        ..ListFilter::default()
    };
    assert_eq!(names(store.list(&part, "", 10).await.expect("list")), ["b", "ba"]);
    let labelled = ListFilter {
        labels: vec![("team".into(), "other".into())],
        ..ListFilter::default()
    };
    assert!(store.list(&labelled, "", 10).await.expect("list").is_empty());
}

async fn a_request_is_remembered(store: &dyn Store) {
    let request = Some(("id".to_owned(), "print".to_owned()));
    done(
        store,
        Write {
            request,
            ..write("a", Expected::Absent, "x")
        },
    )
    .await;
    assert_eq!(
        store.request("id").await.expect("request"),
        Some(("a".into(), "print".into()))
    );
    assert_eq!(store.request("other").await.expect("request"), None);
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

macro_rules! suite {
    ($adapter:ident, $open:expr, [$($test:ident),+ $(,)?]) => {
        mod $adapter {
            $(#[tokio::test]
            async fn $test() {
                let directory = tempfile::tempdir().expect("directory");
                let store = $open(directory.path()).await.expect("open");
                super::$test(&store).await;
            })+
        }
    };
}

suite!(
    sqlite,
    crate::store::sqlite::SqliteStore::open,
    [
        revisions_have_no_gaps_and_survive_deletion,
        lists_page_and_filter,
        a_request_is_remembered,
        what_is_no_revision_keeps_the_number,
    ]
);
