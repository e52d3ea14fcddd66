//! Wakes those who watch an execution when something of it was stored. A wake-up carries no data: whoever is woken
//! reads the store, so a missed or doubled one is harmless.

use std::collections::HashMap;
use std::sync::Arc;

use nexus_execution_store::ExecutionId;
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, watch};

/// Changes that a slow listener may be behind before it misses some.
const FEED: usize = 1_024;

/// How far an execution has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Number of its newest event or line.
    pub sequence: u64,
    /// It has come to its end, or may have.
    pub over: bool,
}

/// What a watcher sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Number of the newest event or line.
    pub sequence: u64,
    /// How often it was said that the end has come, or may have.
    pub ends: u64,
}

/// Wakes watchers of executions.
#[derive(Debug, Clone)]
pub struct Notifier {
    watched: Arc<Mutex<HashMap<ExecutionId, watch::Sender<Seen>>>>,
    feed: broadcast::Sender<(ExecutionId, bool)>,
    /// Told when somebody begins to watch.
    begun: Arc<Notify>,
    /// For those who want to hear of every execution: how often something was told.
    everything: watch::Sender<u64>,
}

impl Default for Notifier {
    fn default() -> Self {
        Self {
            watched: Arc::default(),
            feed: broadcast::channel(FEED).0,
            begun: Arc::default(),
            everything: watch::channel(0).0,
        }
    }
}

impl Notifier {
    /// Says that an execution was stored up to some event or line.
    pub fn notify(&self, id: ExecutionId, progress: Progress) {
        // Refused only when nobody listens.
        let _unheard = self.feed.send((id, progress.over));
        self.wake(id, progress);
    }

    /// The same for what another replica tells; it is not told further.
    pub fn wake(&self, id: ExecutionId, progress: Progress) {
        self.stir();
        let mut watched = self.watched.lock();
        let Some(sender) = watched.get(&id) else { return };
        if sender.receiver_count() == 0 {
            // The last watcher has gone.
            watched.remove(&id);
            return;
        }
        sender.send_modify(|seen| {
            seen.sequence = progress.sequence;
            seen.ends += u64::from(progress.over);
        });
    }

    /// Ids of all executions that change from now on, and whether that was their end.
    pub fn feed(&self) -> broadcast::Receiver<(ExecutionId, bool)> {
        self.feed.subscribe()
    }

    /// Wakes everybody: something may have been missed.
    pub fn wake_all(&self) {
        self.stir();
        self.watched.lock().retain(|_, sender| {
            sender.send_modify(|seen| seen.ends += 1);
            sender.receiver_count() > 0
        });
    }

    fn stir(&self) {
        if self.everything.receiver_count() > 0 {
            self.everything.send_modify(|times| *times += 1);
        }
    }

    /// Watches all executions from now on.
    pub fn everything(&self) -> watch::Receiver<u64> {
        let watcher = self.everything.subscribe();
        self.begun.notify_waiters();
        watcher
    }

    /// Whether anybody watches.
    pub fn is_watched(&self) -> bool {
        self.everything.receiver_count() > 0 || self.watched.lock().values().any(|sender| sender.receiver_count() > 0)
    }

    /// Waits until somebody watches.
    pub async fn watching(&self) {
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
    pub fn watch(&self, id: ExecutionId) -> watch::Receiver<Seen> {
        let mut watched = self.watched.lock();
        // Watchers of executions that never change again would be kept for ever otherwise.
        if watched.len() >= 1_024 {
            watched.retain(|_, sender| sender.receiver_count() > 0);
        }
        self.begun.notify_waiters();
        watched
            .entry(id)
            .or_insert_with(|| watch::channel(Seen::default()).0)
            .subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn watchers_are_woken_and_forgotten() {
        let notifier = Notifier::default();
        let id = nexus_execution_store::Ids::system().execution(None);
        let mut watcher = notifier.watch(id);
        let told = |sequence| Progress { sequence, over: false };
        notifier.notify(id, told(3));
        watcher.changed().await.expect("woken");
        assert_eq!(*watcher.borrow_and_update(), Seen { sequence: 3, ends: 0 });
        notifier.wake_all();
        notifier.notify(id, told(3));
        assert_eq!(
            watcher.borrow_and_update().ends,
            1,
            "whoever waits for the end has to look"
        );
        let mut everything = notifier.everything();
        notifier.notify(nexus_execution_store::Ids::system().execution(None), told(1));
        everything.changed().await.expect("woken");
        drop((watcher, everything));
        notifier.notify(id, told(4));
        assert!(notifier.watched.lock().is_empty());
    }
}
