//! Retention: executions that ended long enough ago are removed, a bounded batch at a time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nexus_execution_store::Removal;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use nexus_mesh::Clock;

use crate::metrics;

/// How often it is looked for what may go; replicas look at different times.
const ROUND: Duration = Duration::from_secs(60);
/// Executions of one batch, and the pause between two, which is for everybody else.
const BATCH: u32 = 200;
const PAUSE: Duration = Duration::from_millis(100);
/// Batches of one round at most.
const BATCHES: u32 = 500;

/// Decides who of many does what one of them should do.
#[async_trait]
pub trait Turn: Send + Sync + std::fmt::Debug {
    /// Whether it is this process's turn for about so long.
    async fn take(&self, time: Duration) -> bool;
}

/// For a process that is alone.
#[derive(Debug, Clone, Copy)]
pub struct Always;

#[async_trait]
impl Turn for Always {
    async fn take(&self, _time: Duration) -> bool {
        true
    }
}

/// How long executions are kept after their end, and who removes them.
#[derive(Debug, Clone)]
pub struct Retention {
    /// How long.
    pub keep: Duration,
    /// Whose turn it is.
    pub turn: Arc<dyn Turn>,
}

/// Removes what may go, until the shutdown.
pub(crate) async fn run(store: Arc<dyn Removal>, clock: Clock, retention: Retention, shutdown: CancellationToken) {
    let keep = i64::try_from(retention.keep.as_micros()).unwrap_or(i64::MAX);
    loop {
        // Not all at the same moment after a start of all.
        let wait = ROUND.mul_f64(0.75 + 0.5 * f64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 256.0);
        tokio::select! {
            () = sleep(wait) => {}
            () = shutdown.cancelled() => return,
        }
        if !retention.turn.take(ROUND).await {
            continue;
        }
        tokio::select! {
            () = round(store.as_ref(), clock().saturating_sub(keep)) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn round(store: &dyn Removal, before: i64) {
    let mut removed = 0;
    for _ in 0..BATCHES {
        match store.purge(before, BATCH).await {
            Ok(0) => break,
            Ok(gone) => removed += gone,
            Err(error) => {
                tracing::warn!(%error, "old executions could not be removed; the next round tries again");
                break;
            }
        }
        sleep(PAUSE).await;
    }
    if removed > 0 {
        metrics::removed(removed);
        tracing::info!(executions = removed, "executions that ended long ago were removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_execution_store::memory::MemoryStore;

    #[derive(Debug)]
    struct Never;

    #[async_trait]
    impl Turn for Never {
        async fn take(&self, _time: Duration) -> bool {
            false
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_runs_when_it_is_its_turn_and_ends_at_the_shutdown() {
        for turn in [Arc::new(Never) as Arc<dyn Turn>, Arc::new(Always)] {
            let shutdown = CancellationToken::new();
            let retention = Retention {
                keep: Duration::from_secs(5),
                turn,
            };
            let clock: Clock = Arc::new(|| 0);
            let store: Arc<dyn Removal> = Arc::new(MemoryStore::default());
            let running = tokio::spawn(run(store, clock, retention, shutdown.clone()));
            sleep(ROUND * 3).await;
            assert!(!running.is_finished());
            shutdown.cancel();
            running.await.expect("it ends");
        }
    }
}
