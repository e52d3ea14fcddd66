//! What every adapter must do with secrets: generic over the port, stamped for each adapter below. What is stored here is not
//! encrypted; that is the service's affair, whose own suite is in `secrets/suite.rs`.

use std::path::Path;

use nexus_api::Namespace;

use super::{About, Found, Place, Rewrap, Sealed, SecretStore, SecretWrite, Torn, Wrapped};
use crate::store::secrets::{Head, SecretRow};

fn there(name: &str) -> Namespace {
    name.parse().expect("a namespace")
}

fn sealed(namespace: &Namespace, name: &str, version: u32) -> Sealed {
    Sealed {
        about: About {
            namespace: namespace.clone(),
            name: name.to_owned(),
            version,
            description: format!("words {version}"),
            created_at: 100 + i64::from(version),
            created_by: format!("user:{version}"),
            request: None,
            first_at: 101,
            first_by: "user:1".to_owned(),
        },
        wrapped: Wrapped {
            key: "old".to_owned(),
            bytes: vec![0, 255, 7],
        },
        sealed: vec![1, 2, 0, 254],
    }
}

async fn put(store: &dyn SecretStore, expected: u32, version: Sealed) -> bool {
    let write = SecretWrite {
        expected,
        version,
        keep: 2,
    };
    store.put(write).await.expect("put")
}

async fn newest(store: &dyn SecretStore, namespace: &Namespace, name: &str) -> Option<Sealed> {
    let found = store.find(namespace, &[name.to_owned()]).await.expect("find");
    let [found]: [Found; 1] = found.try_into().expect("one");
    found.newest().expect("it fits together")
}

async fn versions_follow_each_other_and_the_oldest_go(store: &dyn SecretStore) {
    let here = Namespace::default();
    assert_eq!(newest(store, &here, "a").await, None);
    assert!(put(store, 0, sealed(&here, "a", 1)).await);
    assert!(!put(store, 0, sealed(&here, "a", 1)).await, "it is there already");
    for version in 2..=4 {
        assert!(!put(store, version, sealed(&here, "a", version)).await, "too early");
        assert!(put(store, version - 1, sealed(&here, "a", version)).await);
    }
    assert_eq!(newest(store, &here, "a").await, Some(sealed(&here, "a", 4)));
    assert_eq!(store.version(&here, "a", 2).await.expect("read"), None, "two are kept");
    let third = store.version(&here, "a", 3).await.expect("read");
    assert_eq!(third, Some(sealed(&here, "a", 3)));
    let described = SecretRow {
        name: "a".into(),
        description: "words 4".into(),
        version: 4,
        created_at: 101,
        created_by: "user:1".into(),
        updated_at: 104,
        updated_by: "user:4".into(),
        kept: 2,
    };
    assert_eq!(store.secret(&here, "a").await.expect("read"), Some(described));
}

async fn numbers_go_on_over_a_deletion(store: &dyn SecretStore) {
    let here = Namespace::default();
    assert!(!store.delete_secret(&here, "a", 9).await.expect("delete"));
    assert!(put(store, 0, sealed(&here, "a", 1)).await);
    assert!(store.delete_secret(&here, "a", 9).await.expect("delete"));
    assert!(!store.delete_secret(&here, "a", 9).await.expect("delete"));
    assert_eq!(store.secret(&here, "a").await.expect("read"), None);
    assert_eq!(store.version(&here, "a", 1).await.expect("read"), None);
    assert!(store.secrets(&here, "", 9).await.expect("list").is_empty());
    assert_eq!(newest(store, &here, "a").await, None);
    let head = Head {
        version: 1,
        created_at: 101,
        created_by: "user:1".into(),
        deleted: true,
    };
    assert_eq!(store.head(&here, "a").await.expect("read"), Some(head));
    assert!(!put(store, 0, sealed(&here, "a", 1)).await, "a number is used once");
    assert!(put(store, 1, sealed(&here, "a", 2)).await);
    assert_eq!(newest(store, &here, "a").await, Some(sealed(&here, "a", 2)));
}

async fn namespaces_know_nothing_of_each_other(store: &dyn SecretStore) {
    let (one, other) = (Namespace::default(), there("team-a"));
    for (namespace, names) in [(&one, &["a", "b", "c"][..]), (&other, &["b"])] {
        for name in names {
            assert!(put(store, 0, sealed(namespace, name, 1)).await);
        }
    }
    let names = async |namespace: &Namespace, after: &str, limit| {
        let rows = store.secrets(namespace, after, limit).await.expect("list");
        rows.into_iter().map(|row| row.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&one, "", 2).await, ["a", "b"]);
    assert_eq!(names(&one, "b", 2).await, ["c"]);
    assert_eq!(names(&other, "", 9).await, ["b"]);
    assert_eq!(newest(store, &other, "a").await, None);
    assert_eq!(store.version(&other, "a", 1).await.expect("read"), None);
    assert!(!store.delete_secret(&other, "c", 5).await.expect("delete"));
    assert!(store.delete_secret(&other, "b", 5).await.expect("delete"));
    assert_eq!(newest(store, &one, "b").await, Some(sealed(&one, "b", 1)));
    let found = store
        .find(&one, &["c".into(), "x".into(), "a".into()])
        .await
        .expect("find");
    assert_eq!(found.iter().filter(|found| found.version.is_some()).count(), 2);
    assert!(store.find(&one, &[]).await.expect("find").is_empty());
}

async fn a_request_is_found_again_and_used_once(store: &dyn SecretStore) {
    let (one, other) = (Namespace::default(), there("team-a"));
    let by = |name: &str, version| {
        let mut sealed = sealed(&one, name, version);
        sealed.about.request = Some("id".into());
        sealed
    };
    assert!(put(store, 0, by("a", 1)).await);
    assert!(!put(store, 0, by("b", 1)).await, "the id was used");
    assert!(!put(store, 1, by("a", 2)).await, "the id was used");
    assert_eq!(store.requested(&one, "id").await.expect("read"), Some(by("a", 1)));
    assert_eq!(store.requested(&one, "other").await.expect("read"), None);
    assert_eq!(store.requested(&other, "id").await.expect("read"), None);
    assert_eq!(store.secret(&one, "b").await.expect("read"), None, "all or nothing");
    assert_eq!(store.secret(&one, "a").await.expect("read").expect("there").version, 1);
}

async fn keys_are_exchanged_in_batches_where_nothing_changed(store: &dyn SecretStore) {
    let (one, other) = (Namespace::default(), there("team-a"));
    for name in ["a", "b", "c"] {
        assert!(put(store, 0, sealed(&one, name, 1)).await);
    }
    assert!(put(store, 0, sealed(&other, "a", 1)).await);
    let names = |rows: &[Sealed]| rows.iter().map(|row| row.about.name.clone()).collect::<Vec<_>>();
    let first = store.wrapped_otherwise(Some(&one), "new", None, 2).await.expect("read");
    assert_eq!(names(&first), ["a", "b"]);
    let place: Place = ("default".into(), "b".into(), 1);
    let rest = store
        .wrapped_otherwise(None, "new", Some(&place), 9)
        .await
        .expect("read");
    assert_eq!(names(&rest), ["c", "a"], "of every namespace");
    assert!(
        store
            .wrapped_otherwise(None, "old", None, 9)
            .await
            .expect("read")
            .is_empty()
    );
    let wrapped = Wrapped {
        key: "new".into(),
        bytes: vec![9, 0, 9],
    };
    let mut rewraps: Vec<Rewrap> = first
        .into_iter()
        .map(|found| Rewrap {
            found,
            wrapped: wrapped.clone(),
        })
        .collect();
    rewraps[1].found.wrapped.bytes = b"somebody was faster".to_vec();
    assert_eq!(store.rewrap(&rewraps).await.expect("rewrap"), 1);
    assert_eq!(store.rewrap(&rewraps).await.expect("rewrap"), 0, "it was done");
    assert_eq!(store.rewrap(&[]).await.expect("rewrap"), 0);
    let changed = newest(store, &one, "a").await.expect("there");
    assert_eq!(changed.wrapped, wrapped);
    assert_eq!(changed.sealed, sealed(&one, "a", 1).sealed, "the value stays");
    let keys = |keys: &[(&str, u64)]| {
        keys.iter()
            .map(|(key, count)| ((*key).to_owned(), *count))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        store.keys(Some(&one)).await.expect("keys"),
        keys(&[("new", 1), ("old", 2)])
    );
    assert_eq!(store.keys(None).await.expect("keys"), keys(&[("new", 1), ("old", 3)]));
}

async fn of_writers_at_once_one_wins(store: &dyn SecretStore) {
    let here = Namespace::default();
    for version in 1..=4 {
        let writers = (0..8).map(|_| put(store, version - 1, sealed(&here, "a", version)));
        let won = futures::future::join_all(writers).await;
        assert_eq!(won.into_iter().filter(|won| *won).count(), 1, "version {version}");
    }
}

nexus_service::conformance! {
    adapters: { sqlite: crate::store::sqlite::SqliteStore::open, postgres: in_postgres },
    tests: [
        versions_follow_each_other_and_the_oldest_go,
        numbers_go_on_over_a_deletion,
        namespaces_know_nothing_of_each_other,
        a_request_is_found_again_and_used_once,
        keys_are_exchanged_in_batches_where_nothing_changed,
        of_writers_at_once_one_wins,
    ],
}

async fn in_postgres(path: &Path) -> Result<crate::store::postgres::PostgresStore, crate::store::StoreError> {
    crate::store::suite::in_postgres(path).await
}

#[test]
fn rows_that_do_not_fit_together_are_found() {
    let here = Namespace::default();
    let head = |version, deleted| {
        Some(Head {
            version,
            created_at: 0,
            created_by: String::new(),
            deleted,
        })
    };
    let found = |head, highest, version: Option<u32>| Found {
        name: "a".into(),
        head,
        highest,
        version: version.map(|version| sealed(&here, "a", version)),
    };
    assert_eq!(found(None, None, None).newest(), Ok(None));
    assert_eq!(found(head(2, true), None, None).newest(), Ok(None));
    assert!(
        found(head(2, false), Some(2), Some(2))
            .newest()
            .is_ok_and(|found| found.is_some())
    );
    for torn in [
        found(None, Some(2), None),
        found(head(2, false), None, None),
        found(head(2, false), Some(3), Some(2)),
        found(head(2, false), Some(1), None),
        found(head(2, true), Some(2), Some(2)),
    ] {
        assert_eq!(torn.newest(), Err(Torn("a".into())));
    }
}
