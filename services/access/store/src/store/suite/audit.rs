//! The audit log: its chain, and how changes tell of themselves.

use nexus_audit::chain::{self, Chained};
use nexus_audit::{Actor, Entry, Object, Outcome, canonical};
use uuid::Uuid;

use super::{NOW, Refused, Store, key, person, refused};
use crate::store::audit::AuditFilter;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;

/// What nobody does by the port.
pub(super) trait Raw: Store {
    /// Whether a statement was done.
    async fn raw(&self, statement: &'static str) -> bool;

    /// Takes the triggers away, as the owner of the database can.
    async fn disarm(&self);
}

impl Raw for SqliteStore {
    async fn raw(&self, statement: &'static str) -> bool {
        self.run(statement).await
    }

    async fn disarm(&self) {
        for trigger in [
            "DROP TRIGGER audit_entries_stay",
            "DROP TRIGGER audit_entries_remain",
            "DROP TRIGGER audit_ends_grow",
        ] {
            assert!(self.run(trigger).await);
        }
    }
}

impl Raw for PostgresStore {
    async fn raw(&self, statement: &'static str) -> bool {
        self.run(statement).await
    }

    async fn disarm(&self) {
        for trigger in [
            "DROP TRIGGER audit_entries_stay ON audit_entries",
            "DROP TRIGGER audit_entries_remain ON audit_entries",
            "DROP TRIGGER audit_ends_grow ON audit_ends",
        ] {
            assert!(self.run(trigger).await);
        }
    }
}

fn entry(number: u32) -> Entry {
    Entry {
        id: Uuid::from_u128(u128::from(number)),
        at: NOW + i64::from(number),
        namespace: if number.is_multiple_of(2) { "team" } else { "" }.to_owned(),
        actor: Actor {
            kind: "user".to_owned(),
            id: format!("user:{}", if number < 4 { "anna" } else { "otto" }),
            display_name: "\"A\" ünd".to_owned(),
            credential: "key:1".to_owned(),
        },
        method: "/nexus.access.v1.AccessService/CreateUser".to_owned(),
        permission: "access.write".to_owned(),
        object: Object::new("user", &format!("u{number}")),
        outcome: if number == 3 { Outcome::Denied } else { Outcome::Allowed },
        reason: "r".to_owned(),
        address: "192.0.2.1".to_owned(),
        request_id: "q".to_owned(),
        trace_id: "t".to_owned(),
        count: 1,
    }
}

async fn all(store: &impl Store) -> Vec<Chained> {
    let filter = AuditFilter {
        oldest_first: true,
        ..AuditFilter::default()
    };
    store.audit_entries(&filter, 1_000).await.expect("read")
}

/// The first position that does not fit, from the anchor on and up to the end that is noted.
async fn wrong(store: &impl Store) -> Option<i64> {
    let ends = store.audit_ends().await.expect("ends");
    match chain::verify(ends.anchor, &all(store).await) {
        Err((_, broken)) => Some(broken.position),
        Ok(link) if link != ends.head => Some(link.position.max(1)),
        Ok(_) => None,
    }
}

async fn told(store: &impl Store) -> Vec<Entry> {
    let waiting = store.outbox().waiting(100).await.expect("read");
    let read = waiting
        .iter()
        .map(|one| canonical::decode(&one.entry).expect("an entry"));
    read.collect()
}

pub(super) async fn changes_tell_in_their_transaction_or_not_at_all(store: &impl Store) {
    let telling = |number| store.telling(&entry(number));
    telling(1)
        .create_user(&person("anna", Vec::new()))
        .await
        .expect("created");
    assert_eq!(told(store).await, [entry(1)]);
    let twice = telling(2).create_user(&person("anna", Vec::new())).await;
    assert_eq!(refused(twice), Refused::Exists);
    assert_eq!(told(store).await.len(), 1, "what was rolled back is not told");
    let key = key("anna", NOW);
    store.create_key(&key).await.expect("created");
    assert_eq!(told(store).await.len(), 1, "nobody asked for it");
    telling(3).revoke_key(&key.id, NOW).await.expect("revoked");
    telling(4).revoke_key(&key.id, NOW + 1).await.expect("again");
    assert_eq!(told(store).await, [entry(1), entry(3)], "a repeat tells nothing new");
    assert!(!telling(5).end_session("0", NOW).await.expect("none"));
    let outbox = store.outbox();
    let waiting = outbox.waiting(1).await.expect("read");
    outbox.remove(&[waiting[0].position]).await.expect("removed");
    assert_eq!(told(store).await, [entry(3)]);
    let extent = outbox.extent().await.expect("extent");
    assert_eq!((extent.entries, extent.oldest), (1, Some(entry(3).at)));
}

pub(super) async fn appending_at_once_makes_one_chain(store: &impl Store) {
    let append = async |from: u32| {
        for number in from..from + 20 {
            // Each goes twice, as after an answer that was lost.
            for _ in 0..2 {
                let pair = [entry(number), entry(number + 1)];
                store.append_audit(&pair).await.expect("appended");
            }
        }
    };
    futures::future::join(append(1), append(11)).await;
    let entries = all(store).await;
    assert_eq!(entries.len(), 31, "each once");
    assert_eq!(wrong(store).await, None);
    assert_eq!(
        store
            .append_audit(&[entry(1), entry(100), entry(100)])
            .await
            .expect("appended"),
        1
    );
    assert_eq!(wrong(store).await, None);
}

pub(super) async fn entries_are_filtered_and_page(store: &impl Store) {
    let entries: Vec<Entry> = (1..=6).map(entry).collect();
    assert_eq!(store.append_audit(&entries).await.expect("appended"), 6);
    let read = all(store).await;
    assert!(read.iter().map(|chained| &chained.entry).eq(&entries), "as they came");
    let found = async |filter: AuditFilter| {
        let found = store.audit_entries(&filter, 10).await.expect("read");
        found.iter().map(|chained| chained.position).collect::<Vec<_>>()
    };
    let any = AuditFilter::default;
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(found(any()).await, [6, 5, 4, 3, 2, 1]);
    assert_eq!(
        found(AuditFilter {
            namespace: said("team"),
            ..any()
        })
        .await,
        [6, 4, 2]
    );
    assert_eq!(
        found(AuditFilter {
            actor: said("user:anna"),
            ..any()
        })
        .await,
        [3, 2, 1]
    );
    assert_eq!(
        found(AuditFilter {
            object_name: said("u5"),
            object_kind: said("user"),
            ..any()
        })
        .await,
        [5]
    );
    assert_eq!(
        found(AuditFilter {
            outcome: Some(Outcome::Denied),
            ..any()
        })
        .await,
        [3]
    );
    assert_eq!(
        found(AuditFilter {
            from: Some(NOW + 2),
            to: Some(NOW + 4),
            ..any()
        })
        .await,
        [3, 2]
    );
    assert_eq!(
        found(AuditFilter {
            methods: Some(vec!["/x".to_owned()]),
            ..any()
        })
        .await,
        [0_i64; 0]
    );
    assert_eq!(
        found(AuditFilter {
            before: Some(3),
            ..any()
        })
        .await,
        [2, 1]
    );
    assert_eq!(
        found(AuditFilter {
            after: Some(4),
            oldest_first: true,
            ..any()
        })
        .await,
        [5, 6]
    );
}

pub(super) async fn history_is_not_changed(store: &impl Raw) {
    let entries: Vec<Entry> = (1..=3).map(entry).collect();
    store.append_audit(&entries).await.expect("appended");
    for statement in [
        "UPDATE audit_entries SET actor = 'user:otto'",
        "DELETE FROM audit_entries WHERE position = 3",
        "DELETE FROM audit_entries",
        "UPDATE audit_ends SET head = 1",
        "UPDATE audit_ends SET head_hash = 'x'",
        "UPDATE audit_ends SET anchor = 9",
        "DELETE FROM audit_ends",
    ] {
        assert!(!store.raw(statement).await, "{statement}");
    }
    assert_eq!((all(store).await.len(), wrong(store).await), (3, None));
}

pub(super) async fn whoever_tampers_with_a_row_is_found(store: &impl Raw) {
    let entries: Vec<Entry> = (1..=5).map(entry).collect();
    store.append_audit(&entries).await.expect("appended");
    store.disarm().await;
    for (change, back) in [
        (
            "SET id = 'x' WHERE position = 2",
            "SET id = '00000000-0000-0000-0000-000000000002' WHERE position = 2",
        ),
        (
            "SET at = at + 1 WHERE position = 2",
            "SET at = at - 1 WHERE position = 2",
        ),
        (
            "SET namespace = 'x' WHERE position = 2",
            "SET namespace = 'team' WHERE position = 2",
        ),
        (
            "SET actor_kind = 'x' WHERE position = 2",
            "SET actor_kind = 'user' WHERE position = 2",
        ),
        (
            "SET actor = 'x' WHERE position = 2",
            "SET actor = 'user:anna' WHERE position = 2",
        ),
        (
            "SET actor_name = 'x' WHERE position = 2",
            "SET actor_name = '\"A\" ünd' WHERE position = 2",
        ),
        (
            "SET credential = 'x' WHERE position = 2",
            "SET credential = 'key:1' WHERE position = 2",
        ),
        (
            "SET method = method || 'x' WHERE position = 2",
            "SET method = '/nexus.access.v1.AccessService/CreateUser' WHERE position = 2",
        ),
        (
            "SET permission = 'x' WHERE position = 2",
            "SET permission = 'access.write' WHERE position = 2",
        ),
        (
            "SET object_type = 'x' WHERE position = 2",
            "SET object_type = 'user' WHERE position = 2",
        ),
        (
            "SET object_name = 'x' WHERE position = 2",
            "SET object_name = 'u2' WHERE position = 2",
        ),
        (
            "SET outcome = 2 WHERE position = 2",
            "SET outcome = 1 WHERE position = 2",
        ),
        (
            "SET reason = 'x' WHERE position = 2",
            "SET reason = 'r' WHERE position = 2",
        ),
        (
            "SET address = 'x' WHERE position = 2",
            "SET address = '192.0.2.1' WHERE position = 2",
        ),
        (
            "SET request_id = 'x' WHERE position = 2",
            "SET request_id = 'q' WHERE position = 2",
        ),
        (
            "SET trace_id = 'x' WHERE position = 2",
            "SET trace_id = 't' WHERE position = 2",
        ),
        ("SET count = 7 WHERE position = 2", "SET count = 1 WHERE position = 2"),
    ] {
        let statement = |what: &str| -> &'static str { format!("UPDATE audit_entries {what}").leak() };
        assert!(store.raw(statement(change)).await, "{change}");
        assert_eq!(wrong(store).await, Some(2), "{change}");
        assert!(store.raw(statement(back)).await, "{back}");
        assert_eq!(wrong(store).await, None, "{back}");
    }
    for change in ["SET hash = previous_hash", "SET previous_hash = hash"] {
        assert!(
            store
                .raw(format!("UPDATE audit_entries {change} WHERE position = 5").leak())
                .await
        );
        assert_eq!(wrong(store).await, Some(5), "{change}");
    }
    assert!(store.raw("DELETE FROM audit_entries WHERE position = 5").await);
    assert_eq!(wrong(store).await, Some(4), "the end is missed");
    assert!(store.raw("DELETE FROM audit_entries WHERE position = 3").await);
    assert_eq!(wrong(store).await, Some(3));
    assert!(
        store
            .raw("UPDATE audit_entries SET position = 3 WHERE position = 4")
            .await
    );
    assert_eq!(wrong(store).await, Some(3));
}

pub(super) async fn old_history_goes_behind_an_anchor(store: &impl Store) {
    let entries: Vec<Entry> = (1..=6).map(entry).collect();
    store.append_audit(&entries).await.expect("appended");
    assert_eq!(store.forget_audit(NOW, 10).await.expect("none"), 0);
    assert_eq!(store.forget_audit(NOW + 4, 2).await.expect("some"), 2);
    assert_eq!(store.forget_audit(NOW + 4, 2).await.expect("the rest"), 1);
    assert_eq!(store.forget_audit(NOW + 4, 2).await.expect("none"), 0);
    let ends = store.audit_ends().await.expect("ends");
    assert_eq!((ends.anchor.position, ends.head.position), (3, 6));
    assert_eq!((all(store).await.len(), wrong(store).await), (3, None));
    store.append_audit(&[entry(7)]).await.expect("appended");
    assert_eq!(wrong(store).await, None);
    assert_eq!(store.forget_audit(NOW + 100, 10).await.expect("all"), 4);
    store.append_audit(&[entry(8)]).await.expect("appended");
    assert_eq!((all(store).await.len(), wrong(store).await), (1, None));
}
