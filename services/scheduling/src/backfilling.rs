//! Backfills: nominal times of a span are handed out to be started, as many at a time as may run.

use nexus_schedule::Plan;

use crate::metrics;
use crate::plans::read;
use crate::store::rows::BACKFILL;
use crate::store::{BackfillRow, BackfillState, FireKey, FireRow, Outcome, Store, Stored};

/// Backfills of one round, and times of one backfill, at most.
const ROUND: u32 = 50;
const TIMES: i64 = 100;

/// Hands out what has room. How many times.
pub(crate) async fn hand_out(store: &dyn Store) -> Stored<usize> {
    let mut work = store.begin().await?;
    let mut backfills = work.lock_backfills(ROUND).await?;
    if backfills.is_empty() {
        return Ok(0);
    }
    let now = work.now().await?;
    let mut fires = Vec::new();
    for row in &mut backfills {
        let namespace = row.namespace.parse().unwrap_or_default();
        let name = row.schedule_key.rsplit('/').next().unwrap_or_default();
        let schedule = store
            .schedule(&namespace, name)
            .await?
            .filter(|found| found.id == row.schedule_id);
        let Some(Ok((_, plan))) = schedule.as_ref().map(read) else {
            row.state = BackfillState::Cancelled as i64;
            continue;
        };
        let room = (row.max_concurrent - row.running).clamp(0, TIMES);
        for _ in 0..room {
            let Some(nominal) = next(row, &plan) else {
                row.state = BackfillState::Done as i64;
                break;
            };
            (row.cursor, row.fired, row.running) = (Some(nominal), row.fired + 1, row.running + 1);
            let key = FireKey {
                schedule_id: row.schedule_id.clone(),
                source: format!("{BACKFILL}{}", row.id),
                nominal,
            };
            fires.push(FireRow::new(key, Outcome::Starting, "", now));
        }
    }
    work.put_fires(&fires).await?;
    work.put_backfills(&backfills).await?;
    work.commit().await?;
    metrics::decided(&fires);
    Ok(backfills.len())
}

/// The next time of a backfill.
pub(crate) fn next(row: &BackfillRow, plan: &Plan) -> Option<i64> {
    let found = match row.newest_first {
        true => plan.previous(row.cursor.unwrap_or_else(|| row.until_at.saturating_add(1))),
        false => plan.next(row.cursor.unwrap_or(row.after_at)),
    };
    let within = |nominal: &i64| *nominal > row.after_at && *nominal <= row.until_at;
    found.unwrap_or_default().filter(within)
}
