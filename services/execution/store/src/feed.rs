//! The port of the durable feed: who reads what was committed, what is kept for whom, and what of it is read. What a commit
//! tells the feed is told by the commit itself, in its own transaction: [`entries_of`] says what that is.
//!
//! A position is the number of an entry in its shard: from 1, without gaps, in the order of the commits. Whoever reads
//! after a position misses nothing, whenever it reads. Why that holds stands in `docs/adr/0027-a-durable-feed.md`.

use async_trait::async_trait;
use nexus_engine::Event;

use super::{Change, ExecutionRow, StoreError};
use crate::ids::{ExecutionId, SHARDS};

/// Events of one entry at most. One with all of them that a commit may have would fit into no message.
pub const EVENTS: usize = 100;

/// Readers at most. Each is looked at by every round of the removal.
pub const READERS: u32 = 64;

/// A place in the feed of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The shard.
    pub shard: u16,
    /// The number of an entry; 0 stands before the first one.
    pub number: u64,
}

/// What the feed of a shard has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The shard.
    pub shard: u16,
    /// Entries up to here were removed, or written for readers that were there before.
    pub removed: u64,
    /// The newest entry.
    pub end: u64,
}

/// An entry: which events of which execution one commit made durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// The execution.
    pub execution: ExecutionId,
    /// Number of its first event.
    pub first: u64,
    /// Number of its last event.
    pub last: u64,
    /// The execution as it is now, without params and output; nothing when it was removed.
    pub row: Option<ExecutionRow>,
}

impl Entry {
    /// How many events it tells of.
    #[must_use]
    pub fn events(&self) -> usize {
        usize::try_from(self.last.saturating_sub(self.first)).map_or(usize::MAX, |more| more.saturating_add(1))
    }
}

/// Entries of several shards.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// Whether the reader is known.
    pub known: bool,
    /// What there is of each shard that was asked for, at the same moment.
    pub extents: Vec<Extent>,
    /// By shard and position.
    pub entries: Vec<Entry>,
}

/// Somebody who reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// Its name.
    pub name: String,
    /// When it was registered.
    pub created_at: i64,
    /// It is forgotten when it has acknowledged nothing for so long; never when 0.
    pub forget_after: i64,
    /// When it last acknowledged.
    pub acknowledged_at: i64,
    /// What it has acknowledged, every shard once, by number.
    pub acknowledged: Vec<Position>,
    /// Entries after that.
    pub behind: u64,
    /// Those of them that were removed before it acknowledged them.
    pub lost: u64,
    /// When the last event of the oldest one that is kept was decided.
    pub oldest: Option<i64>,
}

impl Reader {
    /// A reader of which no shard is noted yet.
    pub fn new(name: &str, created_at: i64, forget_after: i64) -> Self {
        Self {
            name: name.to_owned(),
            created_at,
            forget_after,
            acknowledged_at: created_at,
            acknowledged: Vec::with_capacity(usize::from(SHARDS)),
            behind: 0,
            lost: 0,
            oldest: None,
        }
    }

    /// Notes what it has acknowledged of a shard and when, and the time of the oldest entry that it has not.
    pub fn note(&mut self, position: Position, at: i64, extent: Extent, next: Option<i64>) {
        self.acknowledged_at = self.acknowledged_at.max(at);
        self.behind += extent.end.saturating_sub(position.number);
        self.lost += extent.removed.saturating_sub(position.number);
        self.oldest = self.oldest.into_iter().chain(next).min();
        self.acknowledged.push(position);
    }
}

/// A reader that registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewReader<'a> {
    /// Its name.
    pub name: &'a str,
    /// It begins at the oldest entry that is kept, not at the end.
    pub from_beginning: bool,
    /// It is forgotten when it has acknowledged nothing for so long; never when 0.
    pub forget_after: i64,
}

/// What became of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// It is new: what is committed from now on is told to it.
    Created,
    /// It was known already, and nothing was changed.
    Known,
    /// There are [`READERS`] already.
    TooMany,
    /// Replicas of a version that does not tell the feed are at work.
    Incomplete,
}

/// What became of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    /// It is stored.
    Done,
    /// The reader is not known.
    Unknown,
    /// A shard has not come that far; nothing was changed.
    Ahead(Extent),
}

/// What a removal has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Entries that every reader had acknowledged.
    pub acknowledged: u64,
    /// Entries that some reader had not, and that were too old.
    pub lost: u64,
    /// More could be removed at once.
    pub more: bool,
}

/// What the feed asks of a database.
#[async_trait]
pub trait Feed: Send + Sync + std::fmt::Debug {
    /// Makes a reader known. Every commit that is acknowledged after this is told to it, and every one that has begun
    /// before and ends later is too: it waits for them.
    async fn register(&self, reader: NewReader<'_>, now: i64) -> Result<Registered, StoreError>;

    /// Forgets a reader; whether it was known.
    async fn forget(&self, name: &str) -> Result<bool, StoreError>;

    /// A page of readers by name after `after`.
    async fn readers(&self, after: &str, limit: u32) -> Result<Vec<Reader>, StoreError>;

    /// One reader.
    async fn reader(&self, name: &str) -> Result<Option<Reader>, StoreError>;

    /// Notes what a reader needs no more. What it noted before never grows less.
    async fn acknowledge(&self, name: &str, positions: &[Position], now: i64) -> Result<Acknowledged, StoreError>;

    /// What stands after some positions, of each shard at most `share` entries, and what there is of those shards.
    async fn read(&self, reader: &str, after: &[Position], share: u32) -> Result<Page, StoreError>;

    /// The events of some entries, in their order; fewer than an entry tells of where its execution was removed.
    async fn events(&self, entries: &[Entry]) -> Result<Vec<Vec<Event>>, StoreError>;

    /// Removes what every reader has acknowledged, and what was decided before `before` whoever needs it, the oldest first
    /// and of each shard at most `share` entries.
    async fn remove(&self, before: i64, share: u32) -> Result<Removed, StoreError>;

    /// Forgets readers that have acknowledged nothing for longer than they said; their names.
    async fn forget_silent(&self, now: i64) -> Result<Vec<String>, StoreError>;
}

/// An entry before it has its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewEntry {
    pub shard: u16,
    /// Which of the batch's entries of its shard it is, from 1.
    pub number: u32,
    pub execution: ExecutionId,
    pub first: u64,
    pub last: u64,
    pub at: i64,
}

/// What a batch tells the feed: one entry for each execution of which it has events, several where there are many.
pub fn entries_of(changes: &[Change]) -> Vec<NewEntry> {
    let mut numbers = [0_u32; SHARDS as usize];
    let mut entries = Vec::with_capacity(changes.len());
    for change in changes {
        let shard = change.execution.id.shard();
        for events in change.events.chunks(EVENTS) {
            let (Some(first), Some(last)) = (events.first(), events.last()) else {
                continue;
            };
            let number = &mut numbers[usize::from(shard)];
            *number += 1;
            entries.push(NewEntry {
                shard,
                number: *number,
                execution: change.execution.id,
                first: first.sequence,
                last: last.sequence,
                at: last.at,
            });
        }
    }
    entries
}

/// Why a page cannot be given as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The reader is not known.
    Unknown,
    /// Entries after the position were removed: the feed goes on after `removed`.
    Lost(Position, Extent),
    /// The shard has not come that far.
    Ahead(Position, Extent),
}

/// Whether what was read is everything that stands after the positions.
pub fn judge(page: &Page, after: &[Position]) -> Result<(), Refused> {
    if !page.known {
        return Err(Refused::Unknown);
    }
    for position in after {
        let Some(extent) = page.extents.iter().find(|extent| extent.shard == position.shard) else {
            continue;
        };
        if position.number < extent.removed {
            return Err(Refused::Lost(*position, *extent));
        }
        if position.number > extent.end {
            return Err(Refused::Ahead(*position, *extent));
        }
    }
    Ok(())
}

/// The entries that one answer takes: at most `entries`, and no more once they have `events`; of every shard the first
/// ones, so that none of them waits for another.
pub fn cut(page: Vec<Entry>, entries: usize, events: usize) -> Vec<Entry> {
    let mut rank = 0;
    let mut shard = None;
    let ranked = page.into_iter().map(|entry| {
        rank = if shard == Some(entry.position.shard) {
            rank + 1
        } else {
            0
        };
        shard = Some(entry.position.shard);
        (rank, entry)
    });
    let mut ranked: Vec<(usize, Entry)> = ranked.collect();
    ranked.sort_by_key(|(rank, entry)| (*rank, entry.position));
    let mut taken = 0;
    let fits = ranked.into_iter().take(entries).take_while(|(_, entry)| {
        let room = taken < events;
        taken += entry.events();
        room
    });
    let mut cut: Vec<Entry> = fits.map(|(_, entry)| entry).collect();
    cut.sort_by_key(|entry| entry.position);
    cut
}

#[cfg(test)]
mod tests;
