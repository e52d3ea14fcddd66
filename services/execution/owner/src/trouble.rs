//! Whether the batch that is being written cannot be, for callers who would otherwise wait for it without ever hearing
//! why. Trouble is of one write and ends with it, however it ends: when the shards go to another owner the write is given
//! up, and what was remembered of it would refuse calls that nothing stands in the way of.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

/// How soon a write is tried again at the earliest, however many callers ask for it.
const SOON: Duration = Duration::from_millis(50);

/// A write that fails and is tried again.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Since when.
    pub since: Instant,
    /// How often it has failed.
    pub tries: u32,
    /// Why, for people.
    pub reason: String,
}

/// The trouble of the owner's writes, one at a time.
#[derive(Debug, Clone, Default)]
pub struct Troubles {
    current: Arc<watch::Sender<Option<Trouble>>>,
    again: Arc<Notify>,
}

impl Troubles {
    /// A write begins. What is noted of it is forgotten when this is dropped.
    pub fn of_a_write(&self) -> Writing {
        Writing(self.clone())
    }

    /// The trouble there is, as it comes and goes.
    pub fn watch(&self) -> watch::Receiver<Option<Trouble>> {
        self.current.subscribe()
    }

    /// Waits until a write has failed for `patience` and says why. A call that comes in the middle of trouble does not
    /// take its word for it: it has the write tried again at once, and waits for the end of that.
    pub async fn lasting(&self, patience: Duration) -> Trouble {
        let mut seen = self.watch();
        let mut known = seen.borrow_and_update().clone();
        if let Some(old) = known.clone().filter(|old| old.since.elapsed() >= patience) {
            self.again.notify_one();
            let tried = seen.wait_for(|now| now.as_ref().is_none_or(|now| now.tries != old.tries));
            match timeout(patience, tried).await {
                Ok(Ok(now)) => known.clone_from(&now),
                // It hangs, which is no better.
                _ => return old,
            }
        }
        loop {
            let left = known
                .as_ref()
                .map(|trouble| patience.saturating_sub(trouble.since.elapsed()));
            match (known, left) {
                (Some(trouble), Some(Duration::ZERO)) => return trouble,
                (_, Some(left)) => tokio::select! {
                    () = sleep(left) => {}
                    _ = seen.changed() => {}
                },
                // The sender lives as long as this does.
                (_, None) => drop(seen.changed().await),
            }
            known = seen.borrow_and_update().clone();
        }
    }
}

/// The trouble of one write.
#[derive(Debug)]
pub struct Writing(Troubles);

impl Writing {
    /// It failed and will be tried again.
    pub fn failed(&self, reason: String) {
        self.0.current.send_modify(|trouble| {
            let (since, tries) = trouble
                .as_ref()
                .map_or_else(|| (Instant::now(), 0), |known| (known.since, known.tries));
            *trouble = Some(Trouble {
                since,
                tries: tries.saturating_add(1),
                reason,
            });
        });
    }

    /// Waits before the next try: so long, or until somebody wants to know.
    pub(crate) async fn pause(&self, wait: Duration) {
        sleep(wait.min(SOON)).await;
        tokio::select! {
            () = sleep(wait.saturating_sub(SOON)) => {}
            () = self.0.again.notified() => {}
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.current.send_if_modified(|trouble| trouble.take().is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn trouble_begins_with_a_failed_try_and_ends_with_its_write_however_it_ends() {
        let troubles = Troubles::default();
        let seen = troubles.watch();
        let writing = troubles.of_a_write();
        assert!(seen.borrow().is_none());
        writing.failed("away".into());
        let since = seen.borrow().as_ref().map(|trouble| trouble.since);
        sleep(PATIENCE).await;
        writing.failed("still away".into());
        let trouble = seen.borrow().clone().expect("trouble");
        assert_eq!((Some(trouble.since), trouble.tries), (since, 2), "the same trouble");
        drop(writing);
        assert!(seen.borrow().is_none(), "given up is over too");
    }

    #[tokio::test(start_paused = true)]
    async fn callers_hear_of_trouble_that_lasts_and_of_none_that_passes() {
        let troubles = Troubles::default();
        let writing = troubles.of_a_write();
        writing.failed("away".into());
        let begun = Instant::now();
        assert_eq!(troubles.lasting(PATIENCE).await.reason, "away");
        assert_eq!(begun.elapsed(), PATIENCE);
        drop(writing);
        assert!(timeout(PATIENCE * 100, troubles.lasting(PATIENCE)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_in_the_middle_of_trouble_has_the_write_tried_and_goes_by_that() {
        let troubles = Troubles::default();
        let writing = troubles.of_a_write();
        writing.failed("away".into());
        sleep(PATIENCE * 10).await;
        let begun = Instant::now();
        let (trouble, asked) = tokio::join!(
            async {
                let first = troubles.lasting(PATIENCE).await;
                let second = timeout(PATIENCE * 100, troubles.lasting(PATIENCE)).await;
                (first, second.is_err())
            },
            async {
                writing.pause(Duration::from_secs(3_600)).await;
                writing.failed("still away".into());
                writing.pause(Duration::from_secs(3_600)).await;
                drop(writing);
                begun.elapsed()
            }
        );
        assert_eq!(trouble.0.reason, "still away");
        assert!(trouble.1, "the second try succeeded, so nothing stands in the way");
        assert!(asked < PATIENCE, "the tries were made at once: {asked:?}");
    }
}
