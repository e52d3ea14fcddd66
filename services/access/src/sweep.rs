//! What ended long enough ago is removed, a bounded batch at a time.

use std::sync::Arc;
use std::time::Duration;

use nexus_mesh::Clock;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::store::{Cutoffs, Store};

/// How often it is looked for what may go; replicas look at different times.
const ROUND: Duration = Duration::from_secs(300);
/// What one batch removes of each kind, the pause between two, and batches of one round at most.
const BATCH: u32 = 500;
const PAUSE: Duration = Duration::from_millis(100);
const BATCHES: u32 = 200;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// How long what has ended can still be seen: keys, whose last use somebody may ask for, and everything else.
const KEYS: i64 = 90 * DAY;
const OTHERS: i64 = DAY;

/// When what has ended may go, seen from a moment.
fn cutoffs(now: i64) -> Cutoffs {
    Cutoffs {
        keys: now.saturating_sub(KEYS),
        sessions: now.saturating_sub(OTHERS),
        // Nobody sees one that has ended, and whoever begins many must not fill the table with them.
        logins: now,
        failures: now.saturating_sub(OTHERS),
        calls: now,
    }
}

/// Removes entries of the audit log that are older than they are kept, until the shutdown; none when they are kept for ever.
pub(crate) async fn forget_audit(
    store: Arc<dyn Store>,
    keep: Option<Duration>,
    clock: Clock,
    shutdown: CancellationToken,
) {
    let Some(keep) = keep else {
        return shutdown.cancelled().await;
    };
    let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
    loop {
        tokio::select! {
            () = sleep(ROUND.mul_f64(0.75 + 0.5 * fastrand::f64())) => {}
            () = shutdown.cancelled() => return,
        }
        for _ in 0..BATCHES {
            match store.forget_audit(clock().saturating_sub(keep), BATCH).await {
                Ok(removed) if removed >= u64::from(BATCH) && !shutdown.is_cancelled() => sleep(PAUSE).await,
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "old entries of the audit log cannot be removed; it is tried again later");
                    break;
                }
            }
        }
    }
}

/// Removes it until the shutdown.
pub(crate) async fn run(store: Arc<dyn Store>, clock: Clock, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = sleep(ROUND.mul_f64(0.75 + 0.5 * fastrand::f64())) => {}
            () = shutdown.cancelled() => return,
        }
        for _ in 0..BATCHES {
            match store.remove_ended(cutoffs(clock()), BATCH).await {
                Ok(removed) if removed >= u64::from(BATCH) && !shutdown.is_cancelled() => sleep(PAUSE).await,
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "what has ended cannot be removed; it is tried again later");
                    break;
                }
            }
        }
    }
}
