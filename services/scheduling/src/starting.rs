//! The loop that starts executions of fires, and has those cancelled that are to end. What cannot be done is tried again,
//! however long the execution service is away.

use std::time::Duration;

use futures::StreamExt;
use nexus_failpoint::kill_here;
use nexus_schedule::SECOND;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::record::{News, What, record};
use crate::store::{Start, Stored};
use crate::{Context, metrics};

/// Fires that are taken at a time, and calls at a time.
const ROUND: u32 = 256;
const CALLS: usize = 32;
/// For how long they are nobody else's. When that was too short another replica starts them too, which is the same start.
const LEASE: i64 = 30 * SECOND;
/// How often it is looked without a reason, and while something could not be started.
const IDLE: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(500);
/// The longest wait before one is tried again, in microseconds.
const LONGEST: i64 = 60 * SECOND;

/// Starts until the shutdown.
pub(crate) async fn run(context: Context, shutdown: CancellationToken) {
    loop {
        let wait = match round(&context).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, "fires could not be taken or recorded; trying again");
                SOON.mul_f64(1.0 + fastrand::f64())
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = context.wake.starting.notified() => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn round(context: &Context) -> Stored<Duration> {
    let starts = context.store.claim_starts(ROUND, LEASE).await?;
    let cancels = context.store.claim_cancels(ROUND, LEASE).await?;
    if starts.is_empty() && cancels.is_empty() {
        return Ok(IDLE);
    }
    let now = context.store.now().await?;
    let full = starts.len() as u32 == ROUND;
    let started = futures::stream::iter(starts).map(|start| try_start(context, start, now));
    let mut news: Vec<News> = started.buffer_unordered(CALLS).collect().await;
    let cancelled = futures::stream::iter(cancels).map(|start| cancel(context, start));
    let cancelled: Vec<Option<News>> = cancelled.buffer_unordered(CALLS).collect().await;
    news.extend(cancelled.into_iter().flatten());
    kill_here("scheduling::start::answered");
    let later = news.iter().any(|news| matches!(news.what, What::Later { .. }));
    if record(&*context.store, &news, None).await? {
        context.wake.firing.notify_one();
        return Ok(Duration::ZERO);
    }
    Ok(match (full, later) {
        (true, _) => Duration::ZERO,
        (_, true) => SOON,
        _ => IDLE,
    })
}

async fn try_start(context: &Context, start: Start, now: i64) -> News {
    let Start { fire, schedule } = start;
    let Some(schedule) = schedule else {
        let reason = "the schedule was deleted".to_owned();
        return News {
            key: fire.key,
            what: What::Refused { reason },
        };
    };
    let what = match context.executions.start(&schedule, &fire).await {
        Ok(what) => what,
        Err(status) => {
            let wait = (SECOND << fire.attempts.clamp(0, 6)).min(LONGEST);
            let wait = wait / 2 + i64::try_from(fastrand::u64(..wait.unsigned_abs() / 2 + 1)).unwrap_or_default();
            let message = status.message();
            tracing::warn!(
                schedule = schedule.key,
                error = message,
                "an execution could not be started; trying again"
            );
            What::Later {
                reason: format!("it could not be started yet: {message}")
                    .chars()
                    .take(1_000)
                    .collect(),
                due: now + wait,
            }
        }
    };
    metrics::start(match &what {
        What::Started { .. } => "started",
        What::Refused { .. } => "refused",
        _ => "later",
    });
    News { key: fire.key, what }
}

async fn cancel(context: &Context, start: Start) -> Option<News> {
    let Start { fire, schedule } = start;
    if fire.execution.is_empty() {
        // It is being started; then its turn comes.
        return None;
    }
    let namespace = schedule.map(|schedule| schedule.space()).unwrap_or_default();
    match context.executions.cancel(&namespace, &fire.execution).await {
        Ok(()) => Some(News {
            key: fire.key,
            what: What::Cancelled,
        }),
        Err(status) => {
            tracing::warn!(
                execution = fire.execution,
                error = status.message(),
                "it could not be cancelled; trying again"
            );
            None
        }
    }
}
