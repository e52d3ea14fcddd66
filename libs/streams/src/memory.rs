//! The in-process adapter: what `nexus dev` and the tests use.

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::fair::FairQueues;
use crate::{Dispatch, DispatchError, Entry, Receipt, Taken};

/// Offers attempts to workers of the same process.
#[derive(Debug)]
pub struct MemoryDispatch {
    queues: Mutex<FairQueues<()>>,
    arrived: Notify,
    capacity: usize,
    losses: watch::Sender<u64>,
}

impl MemoryDispatch {
    /// A dispatcher that holds at most `capacity` pointers.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            queues: Mutex::default(),
            arrived: Notify::new(),
            capacity,
            losses: watch::Sender::new(0),
        }
    }

    /// How many pointers wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queues.lock().len()
    }

    fn pop(&self, queues: &[String], max: usize) -> Vec<Taken> {
        let popped = self.queues.lock().pop(queues, max);
        let taken = popped.into_iter().map(|popped| Taken {
            pointer: popped.pointer,
            receipt: Receipt::default(),
        });
        taken.collect()
    }
}

#[async_trait]
impl Dispatch for MemoryDispatch {
    async fn publish(&self, entries: Vec<Entry>) -> Result<(), DispatchError> {
        {
            let mut queues = self.queues.lock();
            for entry in entries {
                if queues.len() >= self.capacity {
                    return Err(DispatchError::Full { held: queues.len() });
                }
                queues.push(&entry.queue, entry.lane, entry.pointer, ());
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
            let taken = self.pop(queues, max);
            if !taken.is_empty() || max == 0 || wait.is_zero() {
                return Ok(taken);
            }
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    fn settle(&self, _: Vec<Receipt>) {
        // What was taken is not held any longer.
    }

    fn losses(&self) -> watch::Receiver<u64> {
        self.losses.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lane, Pointer};

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
