//! Queues whose entries take fair turns, in memory.
//!
//! Within a lane executions take turns, so one with 100,000 ready tasks does not hold up one with three. Lanes are
//! served in the ratio 16 : 4 : 1 while all have entries, so that none starves.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::{Lane, Pointer};

/// The order in which lanes are served, over and over: 16 high, 4 normal, 1 low.
pub(crate) const TURNS: [Lane; 21] = {
    let mut turns = [Lane::High; 21];
    turns[4] = Lane::Normal;
    turns[9] = Lane::Normal;
    turns[14] = Lane::Normal;
    turns[19] = Lane::Normal;
    turns[20] = Lane::Low;
    turns
};

/// All lanes, best first.
pub(crate) const LANES: [Lane; 3] = [Lane::High, Lane::Normal, Lane::Low];

/// An entry that was taken out.
#[derive(Debug)]
pub(crate) struct Popped<T> {
    pub(crate) queue: Arc<str>,
    pub(crate) lane: Lane,
    pub(crate) pointer: Pointer,
    pub(crate) item: T,
}

/// Queues of pointers with something kept beside each. A pointer is in at most one of them, once.
#[derive(Debug)]
pub(crate) struct FairQueues<T> {
    queues: HashMap<Arc<str>, Queue<T>>,
    held: HashSet<Pointer>,
}

impl<T> Default for FairQueues<T> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            held: HashSet::new(),
        }
    }
}

#[derive(Debug)]
struct Queue<T> {
    lanes: [LaneQueue<T>; 3],
    turn: usize,
    len: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            lanes: std::array::from_fn(|_| LaneQueue::default()),
            turn: 0,
            len: 0,
        }
    }
}

/// Entries by execution, and the executions in the order of their turns.
#[derive(Debug)]
struct LaneQueue<T> {
    turns: VecDeque<[u8; 16]>,
    entries: HashMap<[u8; 16], VecDeque<(Pointer, T)>>,
}

impl<T> Default for LaneQueue<T> {
    fn default() -> Self {
        Self {
            turns: VecDeque::new(),
            entries: HashMap::new(),
        }
    }
}

impl<T> LaneQueue<T> {
    fn push(&mut self, pointer: Pointer, item: T) {
        let entries = self.entries.entry(pointer.execution).or_default();
        if entries.is_empty() {
            self.turns.push_back(pointer.execution);
        }
        entries.push_back((pointer, item));
    }

    fn pop(&mut self) -> Option<(Pointer, T)> {
        let execution = self.turns.pop_front()?;
        let entries = self.entries.get_mut(&execution)?;
        let popped = entries.pop_front();
        if entries.is_empty() {
            self.entries.remove(&execution);
        } else {
            self.turns.push_back(execution);
        }
        popped
    }

    /// Takes out what is wanted, `room` at most, leaving the order of the rest.
    fn extract(&mut self, room: usize, wanted: &mut impl FnMut(&T) -> bool, out: &mut Vec<(Pointer, T)>) {
        let end = out.len() + room;
        for entries in self.entries.values_mut() {
            let mut rest = VecDeque::with_capacity(entries.len());
            for (pointer, item) in entries.drain(..) {
                if out.len() < end && wanted(&item) {
                    out.push((pointer, item));
                } else {
                    rest.push_back((pointer, item));
                }
            }
            *entries = rest;
            if out.len() >= end {
                break;
            }
        }
        self.entries.retain(|_, entries| !entries.is_empty());
        let entries = &self.entries;
        self.turns.retain(|execution| entries.contains_key(execution));
    }
}

impl<T> Queue<T> {
    fn pop(&mut self) -> Option<(Lane, Pointer, T)> {
        let preferred = TURNS[self.turn % TURNS.len()];
        self.turn = (self.turn + 1) % TURNS.len();
        // An empty lane gives its turn to the next best one.
        let popped = [preferred, Lane::High, Lane::Normal, Lane::Low]
            .into_iter()
            .find_map(|lane| {
                let (pointer, item) = self.lanes[lane as usize].pop()?;
                Some((lane, pointer, item))
            });
        self.len -= usize::from(popped.is_some());
        popped
    }
}

impl<T> FairQueues<T> {
    /// Pointers in all queues.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Pointers in one queue.
    pub(crate) fn len_of(&self, queue: &str) -> usize {
        self.queues.get(queue).map_or(0, |queue| queue.len)
    }

    pub(crate) fn contains(&self, pointer: &Pointer) -> bool {
        self.held.contains(pointer)
    }

    /// Adds a pointer; false when it is there already.
    pub(crate) fn push(&mut self, queue: &str, lane: Lane, pointer: Pointer, item: T) -> bool {
        if !self.held.insert(pointer) {
            return false;
        }
        if !self.queues.contains_key(queue) {
            self.queues.insert(queue.into(), Queue::default());
        }
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.lanes[lane as usize].push(pointer, item);
            queue.len += 1;
        }
        true
    }

    /// Takes at most `max` entries from some queues, one from each in turn, so that the first named does not starve the
    /// rest.
    pub(crate) fn pop(&mut self, queues: &[impl AsRef<str>], max: usize) -> Vec<Popped<T>> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let before = taken.len();
            for name in queues {
                if taken.len() == max {
                    break;
                }
                let Some((name, mut queue)) = self.queues.remove_entry(name.as_ref()) else {
                    continue;
                };
                if let Some((lane, pointer, item)) = queue.pop() {
                    self.held.remove(&pointer);
                    let queue = Arc::clone(&name);
                    taken.push(Popped {
                        queue,
                        lane,
                        pointer,
                        item,
                    });
                }
                if queue.len > 0 {
                    self.queues.insert(name, queue);
                }
            }
            if taken.len() == before {
                break;
            }
        }
        taken
    }

    /// Takes out at most `max` entries that are wanted.
    pub(crate) fn extract(&mut self, max: usize, mut wanted: impl FnMut(&T) -> bool) -> Vec<Popped<T>> {
        let mut taken = Vec::new();
        let mut found = Vec::new();
        for (name, queue) in &mut self.queues {
            for lane in LANES {
                queue.lanes[lane as usize].extract(max - taken.len(), &mut wanted, &mut found);
                queue.len -= found.len();
                for (pointer, item) in found.drain(..) {
                    self.held.remove(&pointer);
                    let queue = Arc::clone(name);
                    taken.push(Popped {
                        queue,
                        lane,
                        pointer,
                        item,
                    });
                }
                if taken.len() == max {
                    break;
                }
            }
        }
        self.queues.retain(|_, queue| queue.len > 0);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(execution: u8, task: u32) -> Pointer {
        Pointer {
            execution: [execution; 16],
            task,
            attempt: 1,
        }
    }

    #[test]
    fn what_is_extracted_is_gone_and_the_rest_keeps_its_order() {
        let mut queues = FairQueues::default();
        for task in 0..10 {
            assert!(queues.push("a", Lane::Normal, pointer(1, task), task));
            assert!(queues.push("b", Lane::High, pointer(2, task), task));
        }
        assert!(!queues.push("b", Lane::Low, pointer(1, 0), 0), "it is held already");
        let odd = queues.extract(100, |task| task % 2 == 1);
        assert_eq!((odd.len(), queues.len(), queues.len_of("a")), (10, 10, 5));
        assert!(!queues.contains(&pointer(1, 1)));
        assert_eq!(queues.extract(3, |_| true).len(), 3);
        let rest = queues.pop(&["a", "b"], 100);
        assert_eq!((rest.len(), queues.len()), (7, 0));
        let of_one: Vec<u32> = rest
            .iter()
            .filter(|popped| &*popped.queue == "a")
            .map(|popped| popped.item)
            .collect();
        assert!(of_one.is_sorted(), "{of_one:?}");
    }
}
