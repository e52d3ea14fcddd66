//! Wakes those who watch an execution when something of it was stored. A wake-up carries no data: whoever is woken
//! reads the store, so a missed or doubled one is harmless.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, watch};

use crate::ids::ExecutionId;

/// Changes that a slow listener may be behind before it misses some.
const FEED: usize = 1_024;

/// Wakes watchers of executions.
#[derive(Debug, Clone)]
pub struct Notifier {
    watched: Arc<Mutex<HashMap<ExecutionId, watch::Sender<u64>>>>,
    feed: broadcast::Sender<ExecutionId>,
    /// Told when somebody begins to watch.
    begun: Arc<Notify>,
}

impl Default for Notifier {
    fn default() -> Self {
        Self {
            watched: Arc::default(),
            feed: broadcast::channel(FEED).0,
            begun: Arc::default(),
        }
    }
}

impl Notifier {
    /// Says that an execution was stored up to some event or line.
    pub(crate) fn notify(&self, id: ExecutionId, sequence: u64) {
        // Refused only when nobody listens.
        let _unheard = self.feed.send(id);
        self.wake(id, sequence);
    }

    /// The same for what another replica tells; it is not told further.
    pub(crate) fn wake(&self, id: ExecutionId, sequence: u64) {
        let mut watched = self.watched.lock();
        if let Some(sender) = watched.get(&id)
            && sender.send(sequence).is_err()
        {
            // The last watcher has gone.
            watched.remove(&id);
        }
    }

    /// Ids of all executions that change from now on.
    pub(crate) fn feed(&self) -> broadcast::Receiver<ExecutionId> {
        self.feed.subscribe()
    }

    /// Wakes everybody: something may have been missed.
    pub(crate) fn wake_all(&self) {
        self.watched.lock().retain(|_, sender| {
            sender.send_modify(|_| {});
            sender.receiver_count() > 0
        });
    }

    /// Whether anybody watches.
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.lock().values().any(|sender| sender.receiver_count() > 0)
    }

    /// Waits until somebody watches.
    pub(crate) async fn watching(&self) {
        loop {
            let begun = self.begun.notified();
            tokio::pin!(begun);
            begun.as_mut().enable();
            if self.is_watched() {
                return;
            }
            begun.await;
        }
    }

    /// Watches an execution from now on.
    pub(crate) fn watch(&self, id: ExecutionId) -> watch::Receiver<u64> {
        let mut watched = self.watched.lock();
        // Watchers of executions that never change again would be kept for ever otherwise.
        if watched.len() >= 1_024 {
            watched.retain(|_, sender| sender.receiver_count() > 0);
        }
        self.begun.notify_waiters();
        watched.entry(id).or_insert_with(|| watch::channel(0).0).subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn watchers_are_woken_and_forgotten() {
        let notifier = Notifier::default();
        let id = crate::ids::Ids::system().execution(None);
        let mut watcher = notifier.watch(id);
        notifier.notify(id, 3);
        watcher.changed().await.expect("woken");
        assert_eq!(*watcher.borrow_and_update(), 3);
        drop(watcher);
        notifier.notify(id, 4);
        assert!(notifier.watched.lock().is_empty());
    }
}
