//! F1: the feed tells every committed event once, those of an execution in their order, under numbers without gaps.

use std::collections::BTreeMap;

use nexus_execution_store::ExecutionId;
use nexus_execution_store::feed::NewReader;
use nexus_execution_store::memory::MemoryStore;

use super::Checker;

const INVARIANT: &str = "F1 the feed tells everything once";

impl Checker {
    /// Whether leases outlive their owner; and the feed has a reader from the beginning.
    pub fn begin(&mut self, lasting: bool, store: &MemoryStore) {
        self.lasting = lasting;
        let reader = NewReader {
            name: "checker",
            from_beginning: true,
            forget_after: 0,
        };
        store.register_now(reader, 0);
    }

    /// Compares the whole feed with the histories that were committed.
    pub(super) fn the_feed_tells_everything_once(&mut self, store: &MemoryStore) {
        let mut numbers: BTreeMap<u16, u64> = BTreeMap::new();
        let mut told: BTreeMap<ExecutionId, u64> = BTreeMap::new();
        for entry in store.feed_now() {
            let (position, id) = (entry.position, entry.execution);
            let number = numbers.entry(position.shard).or_default();
            *number += 1;
            let fits = *number == position.number && position.shard == id.shard();
            self.require(fits, INVARIANT, || {
                format!("{id} is told at {position:?}, where {number} was due")
            });
            let last = told.entry(id).or_default();
            self.require(entry.first == *last + 1 && entry.last >= entry.first, INVARIANT, || {
                format!(
                    "{id}: events {}-{} are told after event {last}",
                    entry.first, entry.last
                )
            });
            *last = entry.last;
        }
        let shadows = self.shadows.iter();
        let committed: BTreeMap<ExecutionId, u64> =
            shadows.map(|(id, shadow)| (*id, shadow.execution.sequence)).collect();
        self.require(told == committed, INVARIANT, || {
            format!("up to these events was told {told:?}, and committed {committed:?}")
        });
    }
}
