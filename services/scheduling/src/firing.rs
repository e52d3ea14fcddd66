//! The loop that decides what is due. Replicas all run it: a schedule that one of them has locked is left to it.

use std::time::Duration;

use nexus_schedule::{Plan, SECOND};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::decide::{advance, decide, replaced};
use crate::plans::read;
use crate::store::{FireRow, ScheduleRow, Store, Stored};
use crate::{Context, backfilling, metrics};

/// Schedules of one round at most.
const ROUND: u32 = 500;
/// The longest time between looks: other replicas' schedules are seen by then, should that replica be gone.
const LONGEST: Duration = Duration::from_secs(5);
/// How long it waits after an error.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// Old fires that are removed at a time, and how often it is looked for them.
const SWEPT: u32 = 1_000;
const SWEEPS: Duration = Duration::from_secs(600);

/// Decides until the shutdown.
pub(crate) async fn run(context: Context, shutdown: CancellationToken) {
    loop {
        let wait = match round(&context).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, "schedules that are due could not be decided; trying again");
                AFTER_ERROR.mul_f64(0.5 + fastrand::f64())
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = context.wake.firing.notified() => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// One round. How long nothing is due.
async fn round(context: &Context) -> Stored<Duration> {
    let fired = fire(&*context.store).await?;
    let handed_out = backfilling::hand_out(&*context.store).await?;
    if fired + handed_out > 0 {
        context.wake.starting.notify_one();
        return Ok(Duration::ZERO);
    }
    let Some(next) = context.store.next_due().await? else {
        metrics::late(0);
        return Ok(LONGEST);
    };
    let wait = next - context.store.now().await?;
    metrics::late(-wait);
    // One that is due and was not found is locked by somebody else.
    let wait = Duration::from_micros(wait.max(20_000).unsigned_abs());
    Ok(wait.min(LONGEST))
}

/// Decides what is due, in one transaction. How many schedules were.
pub(crate) async fn fire(store: &dyn Store) -> Stored<usize> {
    let mut work = store.begin().await?;
    let now = work.now().await?;
    let mut schedules = work.lock_due(now, ROUND).await?;
    if schedules.is_empty() {
        return Ok(0);
    }
    let (mut fires, mut cancels, mut replaces) = (Vec::new(), Vec::new(), Vec::new());
    for row in &mut schedules {
        let (definition, plan) = match read(row) {
            Ok(read) => read,
            Err(problem) => {
                // It would be due for ever, and keep the others waiting.
                tracing::error!(schedule = row.key, %problem, "a schedule cannot be used and is paused");
                row.paused = true;
                row.note = format!("paused because it cannot be used: {problem}");
                continue;
            }
        };
        let decided = decide(row, &definition, &plan, now);
        if decided.cancels {
            cancels.push(row.id.clone());
        }
        if decided.replaces {
            replaces.push(row.id.clone());
        }
        fires.extend(decided.fires);
    }
    if !replaces.is_empty() {
        fires.extend(replaced_of(work.buffered(&replaces).await?));
    }
    work.update(&schedules).await?;
    work.put_fires(&fires).await?;
    if !cancels.is_empty() {
        work.cancel_running(&cancels, now).await?;
    }
    work.commit().await?;
    metrics::decided(&fires);
    Ok(schedules.len())
}

/// Fires that waited before and do not any more.
pub(crate) fn replaced_of(mut waiting: Vec<FireRow>) -> Vec<FireRow> {
    waiting.iter_mut().for_each(replaced);
    waiting
}

/// Lets a schedule begin anew: the first time after now is its next.
pub(crate) fn begin(row: &mut ScheduleRow, plan: &Plan, now: i64) {
    match row.remaining {
        Some(0) => (row.next_nominal, row.next_due) = (None, None),
        _ => advance(row, plan, now),
    }
}

/// Removes fires that are old, until the shutdown.
pub(crate) async fn sweep(context: Context, retention: i64, shutdown: CancellationToken) {
    loop {
        let swept = async {
            let before = context.store.now().await? - retention.max(60 * SECOND);
            context.store.sweep(before, SWEPT).await
        };
        let wait = match swept.await {
            Ok(count) if count >= u64::from(SWEPT) => Duration::from_millis(100),
            Ok(_) => SWEEPS,
            Err(error) => {
                tracing::warn!(%error, "old fires could not be removed; trying again later");
                SWEEPS
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = shutdown.cancelled() => return,
        }
    }
}
