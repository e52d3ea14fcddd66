//! What needs no database: what a batch tells, whether a page is whole, and what of it one answer takes.

use nexus_engine::Fact;

use super::*;
use crate::ids::Ids;
use crate::samples::{event, finished, fresh};

fn entry(shard: u16, number: u64, events: u64) -> Entry {
    Entry {
        position: Position { shard, number },
        execution: ExecutionId(uuid::Uuid::nil()),
        first: 1,
        last: events,
        row: None,
    }
}

#[test]
fn each_changed_execution_is_told_once_and_many_events_in_portions() {
    let ids = Ids::system();
    let (one, other) = (ids.execution_in(&[7]), ids.execution_in(&[9]));
    let mut many = fresh(ids.execution_in(&[7]));
    many.events = (1..=250).map(|number| event(number, Fact::ExecutionStarted)).collect();
    let mut silent = finished(ids.execution_in(&[7]));
    silent.events.clear();
    let told = entries_of(&[fresh(one), many, silent, finished(other)]);
    let shape: Vec<_> = told
        .iter()
        .map(|told| (told.shard, told.number, told.first, told.last))
        .collect();
    assert_eq!(
        shape,
        [
            (7, 1, 1, 2),
            (7, 2, 1, 100),
            (7, 3, 101, 200),
            (7, 4, 201, 250),
            (9, 1, 3, 3)
        ]
    );
}

#[test]
fn a_page_with_a_hole_is_refused() {
    let page = |removed, end| Page {
        known: true,
        extents: vec![Extent { shard: 3, removed, end }],
        entries: Vec::new(),
    };
    let after = [Position { shard: 3, number: 5 }];
    assert_eq!(judge(&page(5, 5), &after), Ok(()));
    assert_eq!(judge(&page(0, 9), &after), Ok(()));
    assert!(matches!(judge(&page(6, 9), &after), Err(Refused::Lost(_, extent)) if extent.removed == 6));
    assert!(matches!(judge(&page(0, 4), &after), Err(Refused::Ahead(_, extent)) if extent.end == 4));
    assert_eq!(judge(&Page::default(), &after), Err(Refused::Unknown));
}

#[test]
fn an_answer_takes_the_first_of_every_shard_and_at_least_one() {
    let page: Vec<Entry> = (0..3_u16)
        .flat_map(|shard| (1..=4).map(move |number| entry(shard, number, 10)))
        .collect();
    let taken = |entries, events| {
        let cut = cut(page.clone(), entries, events);
        cut.iter()
            .map(|entry| (entry.position.shard, entry.position.number))
            .collect::<Vec<_>>()
    };
    assert_eq!(taken(4, 1_000), [(0, 1), (0, 2), (1, 1), (2, 1)]);
    assert_eq!(taken(100, 21), [(0, 1), (1, 1), (2, 1)]);
    assert_eq!(taken(100, 1), [(0, 1)], "one entry however large");
    assert_eq!(taken(100, 1_000).len(), 12);
}
