//! What of the feed is kept: entries that nobody needs any more are removed, a bounded batch at a time, and so are entries
//! that are too old, whoever needs them, so that a reader that never comes fills no disk. Also tells how far readers are
//! behind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nexus_execution_store::StoreError;
use nexus_execution_store::feed::{Feed, READERS, Removed};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use nexus_mesh::Clock;

use crate::metrics;
use crate::retention::Turn;

/// How often it is looked for what may go; replicas look at different times.
const ROUND: Duration = Duration::from_secs(15);
/// Entries of one shard and batch, and the pause between two, which is for everybody else.
const SHARE: u32 = 100;
const PAUSE: Duration = Duration::from_millis(100);
/// Batches of one round at most.
const BATCHES: u32 = 100;

/// The feed, how long its entries are kept for readers that do not come, and who removes them.
#[derive(Debug, Clone)]
pub struct FeedKeeping {
    /// Where it is kept.
    pub feed: Arc<dyn Feed>,
    /// How long entries are kept that some reader has not acknowledged.
    pub keep: Duration,
    /// Whose turn it is.
    pub turn: Arc<dyn Turn>,
}

/// Removes what may go, until the shutdown.
pub(crate) async fn run(keeping: FeedKeeping, clock: Clock, shutdown: CancellationToken) {
    let keep = i64::try_from(keeping.keep.as_micros()).unwrap_or(i64::MAX);
    let mut shown = BTreeSet::new();
    loop {
        // Not all at the same moment after a start of all.
        let wait = ROUND.mul_f64(0.75 + 0.5 * f64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 256.0);
        tokio::select! {
            () = sleep(wait) => {}
            () = shutdown.cancelled() => return,
        }
        let now = clock();
        let round = async {
            show(keeping.feed.as_ref(), now, &mut shown).await?;
            if keeping.turn.take(ROUND).await {
                round(keeping.feed.as_ref(), now, now.saturating_sub(keep)).await?;
            }
            Ok::<(), StoreError>(())
        };
        let done = tokio::select! {
            done = round => done,
            () = shutdown.cancelled() => return,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the feed of events could not be looked through; the next round tries again");
        }
    }
}

/// Says how far every reader is behind; those that are gone are behind by nothing.
async fn show(feed: &dyn Feed, now: i64, shown: &mut BTreeSet<String>) -> Result<(), StoreError> {
    let readers = feed.readers("", READERS).await?;
    let there: BTreeSet<String> = readers.iter().map(|reader| reader.name.clone()).collect();
    for gone in shown.difference(&there) {
        metrics::feed_lag(gone, 0, 0);
    }
    for reader in readers {
        let age = reader.oldest.map_or(0, |oldest| now.saturating_sub(oldest));
        metrics::feed_lag(&reader.name, reader.behind, age);
    }
    *shown = there;
    Ok(())
}

async fn round(feed: &dyn Feed, now: i64, before: i64) -> Result<(), StoreError> {
    for reader in feed.forget_silent(now).await? {
        tracing::info!(
            reader,
            "a reader of the feed was forgotten: it has not come for longer than it said"
        );
    }
    let mut lost = 0;
    for _ in 0..BATCHES {
        let removed: Removed = feed.remove(before, SHARE).await?;
        metrics::feed_removed(removed.acknowledged, removed.lost);
        lost += removed.lost;
        if !removed.more {
            break;
        }
        sleep(PAUSE).await;
    }
    if lost > 0 {
        tracing::warn!(
            entries = lost,
            "entries of the feed were removed that a reader had not acknowledged: they were too old; it will be told"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::Always;
    use nexus_execution_store::Journal;
    use nexus_execution_store::feed::{NewReader, Position};
    use nexus_execution_store::memory::MemoryStore;
    use nexus_execution_store::samples::{claimed, fresh};

    #[tokio::test(start_paused = true)]
    async fn what_is_acknowledged_goes_in_time_and_what_is_not_when_it_is_too_old() {
        let store = Arc::new(MemoryStore::default());
        let fence = claimed(store.as_ref()).await;
        let reader = NewReader {
            name: "a",
            from_beginning: false,
            forget_after: 0,
        };
        store.register_now(reader, 0);
        for _ in 0..3 {
            let id = nexus_execution_store::Ids::system().execution_in(&[1]);
            store.commit(fence, &[fresh(id)]).await.expect("commit");
        }
        let at = Position { shard: 1, number: 1 };
        store.acknowledge("a", &[at], 0).await.expect("acknowledge");
        let now = Arc::new(std::sync::atomic::AtomicI64::new(1_000));
        let clock: Clock = {
            let now = Arc::clone(&now);
            Arc::new(move || now.load(std::sync::atomic::Ordering::Relaxed))
        };
        let keeping = FeedKeeping {
            feed: store.clone(),
            keep: Duration::from_secs(60),
            turn: Arc::new(Always),
        };
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(run(keeping, clock, shutdown.clone()));
        sleep(ROUND * 2).await;
        let left = || -> Vec<u64> { store.feed_now().iter().map(|entry| entry.position.number).collect() };
        assert_eq!(left(), [2, 3]);
        now.store(61_000_000, std::sync::atomic::Ordering::Relaxed);
        sleep(ROUND * 2).await;
        assert_eq!(left(), [3], "the newest one stays");
        shutdown.cancel();
        running.await.expect("it ends");
    }
}
