//! The feed of the model: what the real adapters do, over maps.

use std::collections::BTreeMap;

use async_trait::async_trait;
use nexus_engine::Event;
use nexus_engine::planted::{Bug, planted};

use super::{MemoryStore, State};
use crate::feed::{
    Acknowledged, Entry, Extent, Feed, NewEntry, NewReader, Page, Position, READERS, Reader, Registered, Removed,
    entries_of,
};
use crate::ids::SHARDS;
use crate::{Change, ExecutionRow, Fence, StoreError};

#[derive(Debug, Clone)]
struct Known {
    created_at: i64,
    forget_after: i64,
    acknowledged: BTreeMap<u16, (u64, i64)>,
}

/// Entries, up to where they were removed, and readers.
#[derive(Debug, Default)]
pub(super) struct Entries {
    told: BTreeMap<Position, NewEntry>,
    removed: BTreeMap<u16, u64>,
    readers: BTreeMap<String, Known>,
    /// Only of a planted bug: what is written by a step of its own after the commit.
    apart: Option<(Fence, Vec<NewEntry>)>,
}

impl Entries {
    fn newest(&self, shard: u16) -> u64 {
        let of_shard = Position { shard, number: 0 }..=Position {
            shard,
            number: u64::MAX,
        };
        self.told.range(of_shard).next_back().map_or(0, |(last, _)| last.number)
    }

    fn extent(&self, shard: u16) -> Extent {
        let removed = self.removed.get(&shard).copied().unwrap_or_default();
        Extent {
            shard,
            removed,
            end: removed.max(self.newest(shard)),
        }
    }

    /// What a commit tells, in the commit.
    pub(super) fn tell(&mut self, fence: Fence, changes: &[Change]) {
        if self.readers.is_empty() {
            return;
        }
        if planted(Bug::FeedAfterCommit) {
            self.catch_up(fence);
            self.apart = Some((fence, entries_of(changes)));
            return;
        }
        self.write(entries_of(changes));
    }

    fn write(&mut self, told: Vec<NewEntry>) {
        let mut ends: BTreeMap<u16, u64> = BTreeMap::new();
        for told in told {
            let end = *ends.entry(told.shard).or_insert_with(|| self.extent(told.shard).end);
            let position = Position {
                shard: told.shard,
                number: end + u64::from(told.number),
            };
            self.told.insert(position, told);
        }
    }

    /// The step of its own, unless its owner has gone before it came to it.
    fn catch_up(&mut self, fence: Fence) {
        if let Some((of, told)) = self.apart.take()
            && of == fence
        {
            self.write(told);
        }
    }

    fn reader(&self, name: &str) -> Option<Reader> {
        let known = self.readers.get(name)?;
        let mut reader = Reader::new(name, known.created_at, known.forget_after);
        for (shard, (number, at)) in &known.acknowledged {
            let (shard, number) = (*shard, *number);
            let extent = self.extent(shard);
            let next = Position {
                shard,
                number: number.max(extent.removed) + 1,
            };
            let next = self.told.get(&next).map(|told| told.at);
            reader.note(Position { shard, number }, *at, extent, next);
        }
        Some(reader)
    }

    fn goes(&self, position: Position, told: &NewEntry, before: i64) -> bool {
        let shard = position.shard;
        let acknowledged = self.readers.values().map(|known| known.acknowledged[&shard].0).min();
        told.at < before || acknowledged.is_none_or(|acknowledged| position.number <= acknowledged)
    }

    fn remove(&mut self, shard: u16, before: i64, share: u32, removed: &mut Removed) {
        let extent = self.extent(shard);
        let newest = self.newest(shard);
        let at = |number| Position { shard, number };
        let run = self
            .told
            .range(at(0)..at(newest))
            .take(share as usize)
            .take_while(|(position, told)| position.number <= extent.removed || self.goes(**position, told, before));
        let run: Vec<Position> = run.map(|(position, _)| *position).collect();
        let Some(last) = run.last() else { return };
        let acknowledged = self.readers.values().map(|known| known.acknowledged[&shard].0).min();
        let lost = |position: &&Position| {
            acknowledged.is_some_and(|acknowledged| position.number > acknowledged.max(extent.removed))
        };
        let lost = run.iter().filter(lost).count() as u64;
        removed.lost += lost;
        removed.acknowledged += run.len() as u64 - lost;
        removed.more |= run.len() >= share as usize;
        self.removed.insert(shard, extent.removed.max(last.number));
        self.told.retain(|position, _| !run.contains(position));
    }
}

impl State {
    fn entry(&self, position: Position, told: &NewEntry) -> Entry {
        let bare = |row: &ExecutionRow| ExecutionRow {
            params: std::sync::Arc::default(),
            output: None,
            ..row.clone()
        };
        Entry {
            position,
            execution: told.execution,
            first: told.first,
            last: told.last,
            row: self.executions.get(&told.execution).map(|stored| bare(&stored.row)),
        }
    }
}

impl MemoryStore {
    /// Like [`Feed::register`], at once.
    pub fn register_now(&self, reader: NewReader<'_>, now: i64) -> Registered {
        let feed = &mut self.state.lock().feed;
        if feed.readers.contains_key(reader.name) {
            return Registered::Known;
        }
        if feed.readers.len() >= READERS as usize {
            return Registered::TooMany;
        }
        let extents = (0..SHARDS).map(|shard| feed.extent(shard));
        let extents: Vec<Extent> = extents.collect();
        let first = feed.readers.is_empty();
        let begins = |extent: &Extent| match first || !reader.from_beginning {
            true => extent.end,
            false => extent.removed,
        };
        let acknowledged = extents.iter().map(|extent| (extent.shard, (begins(extent), now)));
        let known = Known {
            created_at: now,
            forget_after: reader.forget_after,
            acknowledged: acknowledged.collect(),
        };
        if first {
            feed.removed = extents.iter().map(|extent| (extent.shard, extent.end)).collect();
        }
        feed.readers.insert(reader.name.to_owned(), known);
        Registered::Created
    }

    /// The whole feed of all shards, by shard and position.
    #[must_use]
    pub fn feed_now(&self) -> Vec<Entry> {
        let mut state = self.state.lock();
        if let Some(fence) = state.fence {
            state.feed.catch_up(fence);
        }
        let told = state.feed.told.iter();
        told.map(|(position, told)| state.entry(*position, told)).collect()
    }
}

#[async_trait]
impl Feed for MemoryStore {
    async fn register(&self, reader: NewReader<'_>, now: i64) -> Result<Registered, StoreError> {
        Ok(self.register_now(reader, now))
    }

    async fn forget(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.state.lock().feed.readers.remove(name).is_some())
    }

    async fn readers(&self, after: &str, limit: u32) -> Result<Vec<Reader>, StoreError> {
        let feed = &self.state.lock().feed;
        let names = feed.readers.keys().filter(|name| name.as_str() > after);
        Ok(names
            .take(limit as usize)
            .filter_map(|name| feed.reader(name))
            .collect())
    }

    async fn reader(&self, name: &str) -> Result<Option<Reader>, StoreError> {
        Ok(self.state.lock().feed.reader(name))
    }

    async fn acknowledge(&self, name: &str, positions: &[Position], now: i64) -> Result<Acknowledged, StoreError> {
        let feed = &mut self.state.lock().feed;
        let mut extents = positions.iter().map(|position| (position, feed.extent(position.shard)));
        let ahead = extents.find(|(position, extent)| position.number > extent.end);
        let ahead = ahead.map(|(_, extent)| extent);
        let Some(known) = feed.readers.get_mut(name) else {
            return Ok(Acknowledged::Unknown);
        };
        if let Some(extent) = ahead {
            return Ok(Acknowledged::Ahead(extent));
        }
        for (shard, (number, at)) in &mut known.acknowledged {
            match positions.iter().find(|position| position.shard == *shard) {
                Some(position) => (*number, *at) = ((*number).max(position.number), now),
                None if positions.is_empty() => *at = now,
                None => {}
            }
        }
        Ok(Acknowledged::Done)
    }

    async fn read(&self, reader: &str, after: &[Position], share: u32) -> Result<Page, StoreError> {
        let state = self.state.lock();
        let mut after = after.to_vec();
        after.sort_unstable();
        let mut page = Page {
            known: state.feed.readers.contains_key(reader),
            ..Page::default()
        };
        for Position { shard, number } in after {
            page.extents.push(state.feed.extent(shard));
            let at = |number| Position { shard, number };
            let range = at(number.saturating_add(1))..=at(number.saturating_add(u64::from(share)));
            let entries = state.feed.told.range(range);
            page.entries
                .extend(entries.map(|(position, told)| state.entry(*position, told)));
        }
        Ok(page)
    }

    async fn events(&self, entries: &[Entry]) -> Result<Vec<Vec<Event>>, StoreError> {
        let state = self.state.lock();
        let events = |entry: &Entry| {
            let stored = state.executions.get(&entry.execution);
            let events = stored.iter().flat_map(|stored| &stored.events);
            let told = events.filter(|event| (entry.first..=entry.last).contains(&event.sequence));
            told.cloned().collect()
        };
        Ok(entries.iter().map(events).collect())
    }

    async fn remove(&self, before: i64, share: u32) -> Result<Removed, StoreError> {
        let feed = &mut self.state.lock().feed;
        let mut removed = Removed::default();
        (0..SHARDS).for_each(|shard| feed.remove(shard, before, share, &mut removed));
        Ok(removed)
    }

    async fn forget_silent(&self, now: i64) -> Result<Vec<String>, StoreError> {
        let feed = &mut self.state.lock().feed;
        let silent = |known: &Known| {
            let last = known.acknowledged.values().map(|(_, at)| *at).max().unwrap_or_default();
            known.forget_after > 0 && last + known.forget_after < now
        };
        let names = feed.readers.iter().filter(|(_, known)| silent(known));
        let names: Vec<String> = names.map(|(name, _)| name.clone()).collect();
        feed.readers.retain(|name, _| !names.contains(name));
        Ok(names)
    }
}
