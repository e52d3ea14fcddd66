//! Wakes those who watch an execution when something of it was stored. A wake-up carries no data: whoever is woken
//! reads the store, so a missed or doubled one is harmless.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};

use crate::ids::ExecutionId;

/// Changes that a slow listener may be behind before it misses some.
const FEED: usize = 1_024;

/// Wakes watchers of executions.
#[derive(Debug, Clone)]
pub struct Notifier {
    watched: Arc<Mutex<HashMap<ExecutionId, watch::Sender<u64>>>>,
    feed: broadcast::Sender<ExecutionId>,
}

impl Default for Notifier {
    fn default() -> Self {
        Self {
            watched: Arc::default(),
            feed: broadcast::channel(FEED).0,
        }
    }
}

impl Notifier {
    /// Says that an execution was stored up to some event or line.
    pub(crate) fn notify(&self, id: ExecutionId, sequence: u64) {
        // Refused only when nobody listens.
        let _unheard = self.feed.send(id);
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

    /// Watches an execution from now on.
    pub(crate) fn watch(&self, id: ExecutionId) -> watch::Receiver<u64> {
        let mut watched = self.watched.lock();
        // Watchers of executions that never change again would be kept for ever otherwise.
        if watched.len() >= 1_024 {
            watched.retain(|_, sender| sender.receiver_count() > 0);
        }
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
