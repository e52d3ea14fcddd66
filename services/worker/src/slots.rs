//! The slots that attempts run in. An attempt that comes a little too early waits for one, for a moment: then it is given
//! back, so that another worker may have it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long an attempt waits for a slot.
const PATIENCE: Duration = Duration::from_millis(100);

/// All slots of a worker.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    number: usize,
}

impl Slots {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(number)),
            number,
        }
    }

    /// How many are used.
    pub(crate) fn used(&self) -> usize {
        self.number.saturating_sub(self.free.available_permits())
    }

    /// A slot, in the order in which they were asked for; nothing when none is free for too long or the attempt is
    /// stopped first.
    pub(crate) async fn take(&self, stopped: &CancellationToken) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(slot);
        }
        tokio::select! {
            () = stopped.cancelled() => None,
            // It is never closed.
            slot = timeout(PATIENCE, Arc::clone(&self.free).acquire_owned()) => slot.ok()?.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_finds_none_waits_for_a_moment_in_order() {
        let slots = Slots::new(1);
        let goes_on = CancellationToken::new();
        let first = slots.take(&goes_on).await.expect("free");
        assert_eq!(slots.used(), 1);
        assert!(slots.take(&goes_on).await.is_none(), "for too long");
        let waiting = tokio::spawn({
            let (slots, goes_on) = (slots.clone(), goes_on.clone());
            async move { slots.take(&goes_on).await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiting.await.expect("it did not panic"));
        let _held = slots.take(&goes_on).await.expect("free");
        goes_on.cancel();
        let asked = tokio::time::Instant::now();
        assert!(
            slots.take(&goes_on).await.is_none() && asked.elapsed().is_zero(),
            "stopped"
        );
    }
}
