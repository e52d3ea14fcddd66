//! What the feed of every adapter must do.

use nexus_execution_store::feed::{
    Acknowledged, Extent, Feed, NewReader, Page, Position, READERS, Refused, Registered, Removed, judge,
};
use nexus_execution_store::samples::{claimed, finished, fresh};
use nexus_execution_store::{Change, ExecutionId, ExecutionRow, Fence, Ids, Store};

use crate::suite::{in_memory, in_postgres};

/// Both ports over one database.
trait Both: Store + Feed {}
impl<T: Store + Feed> Both for T {}

const NOW: i64 = 5_000;

fn in_shard(shard: u16) -> ExecutionId {
    Ids::system().execution_in(&[shard])
}

fn at(shard: u16, number: u64) -> Position {
    Position { shard, number }
}

async fn register(feed: &dyn Feed, name: &str) -> Registered {
    let reader = NewReader {
        name,
        from_beginning: false,
        forget_after: 0,
    };
    feed.register(reader, NOW).await.expect("register")
}

/// Where the entries of a page stand, and the events that they tell of.
fn told(page: &Page) -> Vec<(u64, ExecutionId, u64, u64)> {
    let entries = page.entries.iter();
    entries
        .map(|entry| (entry.position.number, entry.execution, entry.first, entry.last))
        .collect()
}

async fn page(feed: &dyn Feed, shard: u16, after: u64) -> Page {
    feed.read("a", &[at(shard, after)], 100).await.expect("read")
}

async fn commit(store: &dyn Both, fence: Fence, batch: &[Change]) {
    store.commit(fence, batch).await.expect("commit");
}

async fn commits_are_told_in_order_and_once(store: &dyn Both) {
    let fence = claimed(store).await;
    assert_eq!(register(store, "a").await, Registered::Created);
    let (one, two) = (in_shard(3), in_shard(3));
    commit(store, fence, &[fresh(one), fresh(two), fresh(in_shard(4))]).await;
    commit(store, fence, &[fresh(one), fresh(two), fresh(in_shard(4))]).await;
    commit(store, fence, &[finished(two)]).await;
    let page = page(store, 3, 0).await;
    assert_eq!(told(&page), [(1, one, 1, 2), (2, two, 1, 2), (3, two, 3, 3)]);
    assert_eq!(
        page.extents,
        [Extent {
            shard: 3,
            removed: 0,
            end: 3
        }]
    );
    let row = page.entries[2].row.clone().expect("it is there");
    assert_eq!(
        row,
        ExecutionRow {
            params: "".into(),
            output: None,
            ..finished(two).execution
        }
    );
    let events = store.events(&page.entries).await.expect("events");
    assert_eq!(events, [fresh(one).events, fresh(two).events, finished(two).events]);
    let refused = store.commit(fence, &[finished(one), fresh(one)]).await;
    assert!(refused.is_err());
    assert_eq!(
        told(&self::page(store, 3, 3).await),
        [],
        "what is not written is not told"
    );
}

async fn shards_are_read_together_and_in_shares(store: &dyn Both) {
    let fence = claimed(store).await;
    register(store, "a").await;
    for shard in [1, 2, 1, 2, 1] {
        commit(store, fence, &[fresh(in_shard(shard))]).await;
    }
    let page = store.read("a", &[at(1, 1), at(2, 0), at(9, 0)], 1).await.expect("read");
    let found: Vec<Position> = page.entries.iter().map(|entry| entry.position).collect();
    assert_eq!(found, [at(1, 2), at(2, 1)]);
    let ends: Vec<(u16, u64)> = page.extents.iter().map(|extent| (extent.shard, extent.end)).collect();
    assert_eq!(ends, [(1, 3), (2, 2), (9, 0)]);
    let page = store.read("stranger", &[at(1, 0)], 9).await.expect("read");
    assert_eq!(judge(&page, &[at(1, 0)]), Err(Refused::Unknown));
}

async fn without_readers_nothing_is_written_and_a_new_one_begins_at_the_end(store: &dyn Both) {
    let fence = claimed(store).await;
    commit(store, fence, &[fresh(in_shard(5))]).await;
    assert_eq!(register(store, "a").await, Registered::Created);
    assert_eq!(register(store, "a").await, Registered::Known);
    let (second, third) = (in_shard(5), in_shard(5));
    commit(store, fence, &[fresh(second)]).await;
    assert_eq!(
        told(&page(store, 5, 0).await),
        [(1, second, 1, 2)],
        "the first of the shard"
    );
    assert!(store.forget("a").await.expect("forget"));
    assert!(!store.forget("a").await.expect("forget"));
    commit(store, fence, &[fresh(in_shard(5))]).await;
    let from_beginning = NewReader {
        name: "a",
        from_beginning: true,
        forget_after: 0,
    };
    store.register(from_beginning, NOW).await.expect("register");
    let reader = store.reader("a").await.expect("read").expect("known");
    assert_eq!(
        reader.acknowledged[5],
        at(5, 1),
        "what was told to nobody is not begun with"
    );
    commit(store, fence, &[fresh(third)]).await;
    assert_eq!(told(&page(store, 5, 1).await), [(2, third, 1, 2)]);
    let refused = judge(&page(store, 5, 0).await, &[at(5, 0)]);
    assert!(refused.is_err(), "there is a hole before");
    let later = NewReader {
        name: "b",
        ..from_beginning
    };
    store.register(later, NOW).await.expect("register");
    let reader = store.reader("b").await.expect("read").expect("known");
    assert_eq!(
        (reader.acknowledged[5], reader.behind),
        (at(5, 1), 1),
        "what is kept for others"
    );
}

async fn what_every_reader_has_acknowledged_is_removed(store: &dyn Both) {
    let fence = claimed(store).await;
    register(store, "a").await;
    register(store, "b").await;
    for _ in 0..5 {
        commit(store, fence, &[fresh(in_shard(7))]).await;
    }
    let done = store.acknowledge("a", &[at(7, 4)], NOW + 1).await.expect("acknowledge");
    assert_eq!(done, Acknowledged::Done);
    let none = Removed::default();
    assert_eq!(store.remove(0, 10).await.expect("remove"), none, "b needs all of it");
    store.acknowledge("b", &[at(7, 3)], NOW + 2).await.expect("acknowledge");
    store
        .acknowledge("b", &[at(7, 1)], NOW + 3)
        .await
        .expect("it never goes back");
    let removed = store.remove(0, 2).await.expect("remove");
    assert_eq!((removed.acknowledged, removed.lost, removed.more), (2, 0, true));
    let removed = store.remove(0, 2).await.expect("remove");
    assert_eq!((removed.acknowledged, removed.lost, removed.more), (1, 0, false));
    let kept = page(store, 7, 3).await;
    assert_eq!(kept.entries.len(), 2);
    assert_eq!(judge(&kept, &[at(7, 3)]), Ok(()));
    let readers = store.readers("", 10).await.expect("readers");
    let shown: Vec<_> = readers
        .iter()
        .map(|reader| (reader.name.as_str(), reader.behind, reader.lost, reader.oldest))
        .collect();
    assert_eq!(shown, [("a", 1, 0, Some(1_000)), ("b", 2, 0, Some(1_000))]);
    assert_eq!(readers[1].acknowledged_at, NOW + 3);
    assert_eq!(store.readers("a", 10).await.expect("readers").len(), 1);
    store.acknowledge("a", &[at(7, 5)], NOW).await.expect("acknowledge");
    store.acknowledge("b", &[at(7, 5)], NOW).await.expect("acknowledge");
    assert_eq!(
        store.remove(0, 10).await.expect("remove").acknowledged,
        1,
        "the newest one stays"
    );
    let next = in_shard(7);
    commit(store, fence, &[fresh(next)]).await;
    assert_eq!(told(&page(store, 7, 5).await), [(6, next, 1, 2)], "numbers go on");
}

async fn what_was_left_of_readers_that_are_gone_goes_too(store: &dyn Both) {
    let fence = claimed(store).await;
    for round in 1..4 {
        register(store, "a").await;
        for _ in 0..3 {
            commit(store, fence, &[fresh(in_shard(8))]).await;
        }
        store.forget("a").await.expect("forget");
        let reader = NewReader {
            name: "b",
            from_beginning: true,
            forget_after: 0,
        };
        store.register(reader, NOW).await.expect("register");
        let begins = store.reader("b").await.expect("read").expect("known").acknowledged[8];
        assert_eq!(begins, at(8, 3 * round));
        store.forget("b").await.expect("forget");
    }
    register(store, "a").await;
    let mut removed = 0;
    for _ in 0..4 {
        let once = store.remove(0, 3).await.expect("remove");
        assert_eq!(once.lost, 0, "nobody needed them");
        removed += once.acknowledged;
    }
    assert_eq!(removed, 8, "all but the newest one");
}

async fn a_reader_that_lags_is_told_what_it_has_missed(store: &dyn Both) {
    let fence = claimed(store).await;
    register(store, "a").await;
    for _ in 0..3 {
        commit(store, fence, &[fresh(in_shard(1))]).await;
    }
    assert_eq!(
        store.remove(1_000, 10).await.expect("remove").lost,
        0,
        "none is that old"
    );
    assert_eq!(store.remove(1_001, 10).await.expect("remove").lost, 2);
    let after = [at(1, 0)];
    let refused = judge(&page(store, 1, 0).await, &after).expect_err("it has missed two");
    assert!(
        matches!(refused, Refused::Lost(_, extent) if extent.removed == 2),
        "{refused:?}"
    );
    let reader = store.reader("a").await.expect("read").expect("known");
    assert_eq!((reader.behind, reader.lost), (3, 2));
    store
        .acknowledge("a", &[at(1, 2)], NOW)
        .await
        .expect("it goes on after them");
    assert_eq!(page(store, 1, 2).await.entries.len(), 1);
    let ahead = store
        .acknowledge("a", &[at(2, 0), at(1, 4)], NOW)
        .await
        .expect("answer");
    assert!(
        matches!(ahead, Acknowledged::Ahead(extent) if extent.end == 3),
        "{ahead:?}"
    );
    let unknown = store.acknowledge("z", &[at(1, 4)], NOW).await.expect("answer");
    assert_eq!(unknown, Acknowledged::Unknown);
    assert!(matches!(
        judge(&page(store, 1, 4).await, &[at(1, 4)]),
        Err(Refused::Ahead(..))
    ));
}

async fn an_execution_that_was_removed_is_told_to_be_gone(store: &dyn Both) {
    let fence = claimed(store).await;
    register(store, "a").await;
    let id = in_shard(2);
    commit(store, fence, &[fresh(id)]).await;
    commit(store, fence, &[finished(id)]).await;
    assert_eq!(store.purge(i64::MAX, 10).await.expect("purge"), 1);
    let page = page(store, 2, 0).await;
    assert_eq!(told(&page), [(1, id, 1, 2), (2, id, 3, 3)]);
    assert!(page.entries.iter().all(|entry| entry.row.is_none()));
    assert_eq!(store.events(&page.entries).await.expect("events"), [vec![], vec![]]);
}

async fn readers_are_bounded_and_silent_ones_forgotten(store: &dyn Both) {
    for number in 0..READERS {
        let name = format!("r{number:02}");
        let reader = NewReader {
            name: &name,
            from_beginning: false,
            forget_after: if number == 3 { 100 } else { 0 },
        };
        assert_eq!(
            store.register(reader, NOW).await.expect("register"),
            Registered::Created
        );
    }
    assert_eq!(register(store, "more").await, Registered::TooMany);
    assert_eq!(register(store, "r00").await, Registered::Known);
    let silent = async |now| store.forget_silent(now).await.expect("forget");
    assert!(silent(NOW + 100).await.is_empty());
    store.acknowledge("r03", &[], NOW + 50).await.expect("a sign of life");
    assert!(silent(NOW + 150).await.is_empty());
    assert_eq!(silent(NOW + 151).await, ["r03"]);
    assert_eq!(register(store, "more").await, Registered::Created);
}

async fn an_owner_that_was_shut_out_tells_nothing(store: &dyn Both) {
    let old = claimed(store).await;
    register(store, "a").await;
    let (one, two) = (in_shard(6), in_shard(6));
    commit(store, old, &[fresh(one)]).await;
    let new = claimed(store).await;
    assert!(store.commit(old, &[fresh(two)]).await.is_err(), "it is shut out");
    commit(store, new, &[fresh(two)]).await;
    commit(store, new, &[finished(one)]).await;
    assert_eq!(
        told(&page(store, 6, 0).await),
        [(1, one, 1, 2), (2, two, 1, 2), (3, one, 3, 3)]
    );
}

nexus_service::conformance! {
    adapters: {
        sqlite: crate::sqlite::SqliteStore::open,
        memory: in_memory,
        postgres: in_postgres,
    },
    tests: [
        commits_are_told_in_order_and_once,
        shards_are_read_together_and_in_shares,
        without_readers_nothing_is_written_and_a_new_one_begins_at_the_end,
        what_every_reader_has_acknowledged_is_removed,
        what_was_left_of_readers_that_are_gone_goes_too,
        a_reader_that_lags_is_told_what_it_has_missed,
        an_execution_that_was_removed_is_told_to_be_gone,
        readers_are_bounded_and_silent_ones_forgotten,
        an_owner_that_was_shut_out_tells_nothing,
    ],
}
