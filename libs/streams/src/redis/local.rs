//! What lies in this process: entries on their way between Redis and the takers here, and what the takers want.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::metrics;
use crate::fair::{FairQueues, Popped};
use crate::{Delivered, DispatchError, Entry, Receipt, Taken};

/// An entry in this process.
#[derive(Debug)]
pub(super) struct Held {
    /// Its entry in Redis; nothing when it is only here.
    pub(super) id: Option<Box<str>>,
    since: Instant,
}

/// Entries and wants.
#[derive(Debug)]
pub(super) struct Local {
    state: Mutex<State>,
    /// Takers listen to it.
    arrived: Notify,
    /// Something is held; the sweeper listens to it.
    pub(super) filled: Notify,
    capacity: usize,
    queues: usize,
}

#[derive(Debug, Default)]
struct State {
    held: FairQueues<Held>,
    demands: HashMap<Arc<str>, Demand>,
}

/// What takers want of a queue.
#[derive(Debug)]
struct Demand {
    /// Entries that waiting takers would take.
    slots: usize,
    /// The queue's reader listens to it. A queue is here as long as it has a reader.
    changed: Arc<Notify>,
}

/// A queue that needs a reader.
pub(super) type Unread = (Arc<str>, Arc<Notify>);

impl Local {
    pub(super) fn new(capacity: usize, queues: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            filled: Notify::new(),
            capacity,
            queues,
        }
    }

    /// How many entries are held.
    pub(super) fn len(&self) -> usize {
        self.state.lock().held.len()
    }

    /// Hands entries to takers that wait for them; answers the rest. What is held already is no rest.
    pub(super) fn hand_over(&self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut rest = Vec::new();
        let mut handed = 0;
        {
            let mut state = self.state.lock();
            for entry in entries {
                if state.held.contains(&entry.pointer) {
                    continue;
                }
                if state.wants(&entry.queue) == 0 {
                    rest.push(entry);
                } else {
                    state.push(&entry.queue, entry.lane, entry.pointer, None);
                    handed += 1;
                }
            }
        }
        if handed > 0 {
            metrics::direct(handed);
            self.announce();
        }
        rest
    }

    /// Keeps entries here, because Redis is away.
    pub(super) fn keep(&self, entries: Vec<Entry>) -> Result<(), DispatchError> {
        let mut full = None;
        {
            let mut state = self.state.lock();
            for entry in entries {
                let held = state.held.len();
                if held >= self.capacity {
                    full = Some(DispatchError::Full { held });
                    break;
                }
                state.push(&entry.queue, entry.lane, entry.pointer, None);
            }
        }
        self.announce();
        full.map_or(Ok(()), Err)
    }

    /// Keeps entries that were read from Redis. They are few: no more are read than are wanted.
    pub(super) fn arrive(&self, entries: Vec<Delivered>) {
        if entries.is_empty() {
            return;
        }
        {
            let mut state = self.state.lock();
            for entry in entries {
                state.push(&entry.queue, entry.lane, entry.pointer, Some(entry.id));
            }
        }
        self.announce();
    }

    fn announce(&self) {
        self.arrived.notify_waiters();
        self.filled.notify_one();
    }

    /// Takes what is here.
    pub(super) fn pop(&self, queues: &[String], max: usize) -> Vec<Taken> {
        let popped = self.state.lock().held.pop(queues, max);
        if !popped.is_empty() {
            metrics::taken(popped.len());
        }
        let taken = popped.into_iter().map(|popped| Taken {
            pointer: popped.pointer,
            receipt: Receipt(popped.item.id.map(|id| Delivered {
                queue: popped.queue,
                lane: popped.lane,
                id,
                pointer: popped.pointer,
            })),
        });
        taken.collect()
    }

    /// Waits until something may have arrived. Listening begins with the call, not with the first poll.
    pub(super) fn arrival(&self) -> tokio::sync::futures::Notified<'_> {
        self.arrived.notified()
    }

    /// Notes that a taker would take `max` entries from some queues, until the guard is dropped. `unread` hears of
    /// queues that have no reader yet.
    pub(super) fn want<'a>(
        &'a self,
        queues: &'a [String],
        max: usize,
        mut unread: impl FnMut(Unread),
    ) -> Result<Wanting<'a>, DispatchError> {
        let mut state = self.state.lock();
        let new = queues
            .iter()
            .filter(|queue| !state.demands.contains_key(queue.as_str()));
        if state.demands.len() + new.count() > self.queues {
            let limit = self.queues;
            return Err(DispatchError::Unavailable(format!(
                "takers here wait for {limit} different queues, which is the most"
            )));
        }
        for queue in queues {
            if let Some(demand) = state.demands.get_mut(queue.as_str()) {
                demand.slots += max;
                demand.changed.notify_one();
                continue;
            }
            let name: Arc<str> = queue.as_str().into();
            let changed = Arc::new(Notify::new());
            unread((Arc::clone(&name), Arc::clone(&changed)));
            state.demands.insert(name, Demand { slots: max, changed });
        }
        Ok(Wanting {
            local: self,
            queues,
            max,
        })
    }

    /// How many more entries of a queue takers here would take.
    pub(super) fn wants(&self, queue: &str) -> usize {
        self.state.lock().wants(queue)
    }

    /// All queues of which takers here would take more, and how many.
    pub(super) fn wanted(&self) -> Vec<(String, usize)> {
        let state = self.state.lock();
        let queues = state
            .demands
            .keys()
            .map(|queue| (queue.to_string(), state.wants(queue)));
        queues.filter(|(_, wants)| *wants > 0).collect()
    }

    /// Ends the reading of a queue that nobody waits for; false when somebody does.
    pub(super) fn forget(&self, queue: &str) -> bool {
        let mut state = self.state.lock();
        let idle = state.demands.get(queue).is_none_or(|demand| demand.slots == 0);
        if idle {
            state.demands.remove(queue);
        }
        idle
    }

    /// Takes out entries that have found no taker for a while.
    pub(super) fn aged(&self, max: usize, age: Duration) -> Vec<Popped<Held>> {
        let now = Instant::now();
        self.state
            .lock()
            .held
            .extract(max, |held| now.duration_since(held.since) >= age)
    }

    /// Takes out entries of a queue for somebody else.
    pub(super) fn lend(&self, queue: &str, max: usize) -> Vec<Entry> {
        let popped = self.state.lock().held.pop(&[queue], max);
        popped.into_iter().map(entry).collect()
    }
}

/// An entry without its place in Redis.
pub(super) fn entry(popped: Popped<Held>) -> Entry {
    Entry {
        queue: popped.queue.to_string(),
        lane: popped.lane,
        pointer: popped.pointer,
    }
}

impl State {
    fn wants(&self, queue: &str) -> usize {
        let slots = self.demands.get(queue).map_or(0, |demand| demand.slots);
        slots.saturating_sub(self.held.len_of(queue))
    }

    fn push(&mut self, queue: &str, lane: crate::Lane, pointer: crate::Pointer, id: Option<Box<str>>) {
        let since = Instant::now();
        self.held.push(queue, lane, pointer, Held { id, since });
    }
}

/// A taker that waits.
#[derive(Debug)]
pub(super) struct Wanting<'a> {
    local: &'a Local,
    queues: &'a [String],
    max: usize,
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        let mut state = self.local.state.lock();
        for queue in self.queues {
            if let Some(demand) = state.demands.get_mut(queue.as_str()) {
                demand.slots = demand.slots.saturating_sub(self.max);
                demand.changed.notify_one();
            }
        }
    }
}
