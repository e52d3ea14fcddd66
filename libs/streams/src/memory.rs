//! The in-process adapter: what `nexus dev` and the tests use.
//!
//! Within a lane executions take turns, so one with 100,000 ready tasks does not hold up one with three. Lanes are
//! served in the ratio 16 : 4 : 1 while all have entries, so that none starves.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{Dispatch, DispatchError, Entry, Lane, Pointer, Receipt, Taken};

/// The order in which lanes are served, over and over: 16 high, 4 normal, 1 low.
const TURNS: [Lane; 21] = {
    let mut turns = [Lane::High; 21];
    turns[4] = Lane::Normal;
    turns[9] = Lane::Normal;
    turns[14] = Lane::Normal;
    turns[19] = Lane::Normal;
    turns[20] = Lane::Low;
    turns
};

/// Offers attempts to workers of the same process.
#[derive(Debug)]
pub struct MemoryDispatch {
    state: Mutex<State>,
    arrived: Notify,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    queues: HashMap<String, Queue>,
    waiting: HashSet<Pointer>,
}

#[derive(Debug, Default)]
struct Queue {
    lanes: [LaneQueue; 3],
    turn: usize,
}

/// Entries by execution, and the executions in the order of their turns.
#[derive(Debug, Default)]
struct LaneQueue {
    turns: VecDeque<[u8; 16]>,
    entries: HashMap<[u8; 16], VecDeque<Pointer>>,
}

impl LaneQueue {
    fn push(&mut self, pointer: Pointer) {
        let entries = self.entries.entry(pointer.execution).or_default();
        if entries.is_empty() {
            self.turns.push_back(pointer.execution);
        }
        entries.push_back(pointer);
    }

    fn pop(&mut self) -> Option<Pointer> {
        let execution = self.turns.pop_front()?;
        let entries = self.entries.get_mut(&execution)?;
        let pointer = entries.pop_front();
        if entries.is_empty() {
            self.entries.remove(&execution);
        } else {
            self.turns.push_back(execution);
        }
        pointer
    }
}

impl Queue {
    fn lane(&mut self, lane: Lane) -> &mut LaneQueue {
        &mut self.lanes[lane as usize]
    }

    fn pop(&mut self) -> Option<Pointer> {
        let preferred = TURNS[self.turn % TURNS.len()];
        self.turn = (self.turn + 1) % TURNS.len();
        // An empty lane gives its turn to the next best one.
        [preferred, Lane::High, Lane::Normal, Lane::Low]
            .into_iter()
            .find_map(|lane| self.lane(lane).pop())
    }

    fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.turns.is_empty())
    }
}

impl MemoryDispatch {
    /// A dispatcher that holds at most `capacity` pointers.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            capacity,
        }
    }

    /// How many pointers wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    fn pop(&self, queues: &[String], max: usize) -> Vec<Pointer> {
        let mut state = self.state.lock();
        let mut taken = Vec::new();
        while taken.len() < max {
            // Round-robin over the queues, one entry each, so that the first named does not starve the rest.
            let before = taken.len();
            for name in queues {
                let Some(queue) = state.queues.get_mut(name) else {
                    continue;
                };
                let popped = queue.pop();
                if queue.is_empty() {
                    state.queues.remove(name);
                }
                if let Some(pointer) = popped {
                    state.waiting.remove(&pointer);
                    taken.push(pointer);
                    if taken.len() == max {
                        break;
                    }
                }
            }
            if taken.len() == before {
                break;
            }
        }
        taken
    }
}

#[async_trait]
impl Dispatch for MemoryDispatch {
    async fn publish(&self, entries: Vec<Entry>) -> Result<(), DispatchError> {
        {
            let mut state = self.state.lock();
            for entry in entries {
                if state.waiting.len() >= self.capacity {
                    return Err(DispatchError::Full {
                        held: state.waiting.len(),
                    });
                }
                if state.waiting.insert(entry.pointer) {
                    state
                        .queues
                        .entry(entry.queue)
                        .or_default()
                        .lane(entry.lane)
                        .push(entry.pointer);
                }
            }
        }
        self.arrived.notify_waiters();
        Ok(())
    }

    async fn take(&self, queues: &[String], max: usize, wait: Duration) -> Result<Vec<Taken>, DispatchError> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            // Listening begins before looking, so nothing that arrives in between is missed.
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let taken: Vec<Taken> = self.pop(queues, max).into_iter().map(taken).collect();
            if !taken.is_empty() || max == 0 || wait.is_zero() {
                return Ok(taken);
            }
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    // What was popped is gone: there is nothing to settle.
    fn settle(&self, _receipts: Vec<Receipt>) {}

    fn losses(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }
}

fn taken(pointer: Pointer) -> Taken {
    Taken {
        pointer,
        receipt: Receipt::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(execution: u8, task: u32, lane: Lane) -> Entry {
        Entry {
            queue: "default".into(),
            lane,
            pointer: Pointer {
                execution: [execution; 16],
                task,
                attempt: 1,
            },
        }
    }

    async fn take(dispatch: &MemoryDispatch, max: usize) -> Vec<(u8, u32)> {
        let taken = dispatch
            .take(&["default".into()], max, Duration::ZERO)
            .await
            .expect("take");
        taken
            .into_iter()
            .map(|taken| (taken.pointer.execution[0], taken.pointer.task))
            .collect()
    }

    #[tokio::test]
    async fn executions_take_turns() {
        let dispatch = MemoryDispatch::new(100);
        let many = (0..5).map(|task| entry(1, task, Lane::Normal)).collect();
        dispatch.publish(many).await.expect("publish");
        dispatch
            .publish(vec![entry(2, 0, Lane::Normal)])
            .await
            .expect("publish");
        assert_eq!(take(&dispatch, 3).await, [(1, 0), (2, 0), (1, 1)]);
    }

    #[tokio::test]
    async fn high_goes_first_and_low_is_not_starved() {
        let dispatch = MemoryDispatch::new(1_000);
        let mut entries = Vec::new();
        for task in 0..100 {
            entries.push(entry(1, task, Lane::High));
            entries.push(entry(2, task, Lane::Low));
        }
        dispatch.publish(entries).await.expect("publish");
        let taken = take(&dispatch, 42).await;
        let low = taken.iter().filter(|(execution, _)| *execution == 2).count();
        assert_eq!(low, 2, "one in 21");
        assert_eq!(taken[0].0, 1);
    }

    #[tokio::test]
    async fn a_pointer_is_on_offer_once() {
        let dispatch = MemoryDispatch::new(100);
        dispatch
            .publish(vec![entry(1, 0, Lane::Normal), entry(1, 0, Lane::Normal)])
            .await
            .expect("publish");
        assert_eq!(take(&dispatch, 10).await.len(), 1);
        assert_eq!(dispatch.waiting(), 0);
    }

    #[tokio::test]
    async fn a_full_dispatcher_says_so() {
        let dispatch = MemoryDispatch::new(1);
        let result = dispatch
            .publish(vec![entry(1, 0, Lane::Normal), entry(1, 1, Lane::Normal)])
            .await;
        assert!(matches!(result, Err(DispatchError::Full { held: 1 })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_taker_is_woken() {
        let dispatch = std::sync::Arc::new(MemoryDispatch::new(10));
        let taker = tokio::spawn({
            let dispatch = std::sync::Arc::clone(&dispatch);
            async move { dispatch.take(&["default".into()], 1, Duration::from_secs(60)).await }
        });
        tokio::task::yield_now().await;
        dispatch.publish(vec![entry(3, 7, Lane::Low)]).await.expect("publish");
        let taken = taker.await.expect("join").expect("take");
        assert_eq!(taken[0].pointer.task, 7);
        assert!(
            dispatch
                .take(&["default".into()], 1, Duration::from_secs(60))
                .await
                .expect("take")
                .is_empty()
        );
    }
}
