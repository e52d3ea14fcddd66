//! What is heard of fires: that their execution was started, cannot be, or has ended. Any number of times, in any order.

use std::collections::{BTreeMap, BTreeSet};

use nexus_schedule::SECOND;

use crate::store::{BackfillRow, Definition, FireKey, FireRow, Outcome, Reading, ScheduleRow, Store, Stored};

/// How long after its start an execution is first asked after, should nothing be heard of it.
const UNSEEN: i64 = 60 * SECOND;

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Its execution was started; the state is empty while it runs.
    Started { execution: String, state: String },
    /// Its execution cannot be started.
    Refused { reason: String },
    /// It could not be started yet; again at that time.
    Later { reason: String, due: i64 },
    /// Its execution has ended.
    Ended { execution: String, state: String },
    /// Its execution was told to end.
    Cancelled,
}

/// Something that was heard of a fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) key: FireKey,
    pub(crate) what: What,
}

/// Records news, in one transaction with how far the feed was read that told them. Whether anything can be started now.
pub(crate) async fn record(store: &dyn Store, news: &[News], reading: Option<&Reading>) -> Stored<bool> {
    let mut work = store.begin().await?;
    let now = work.now().await?;
    let ids: BTreeSet<String> = news.iter().map(|news| news.key.schedule_id.clone()).collect();
    let ids: Vec<String> = ids.into_iter().collect();
    let backfills: BTreeSet<&str> = news.iter().filter_map(|news| news.key.backfill()).collect();
    let backfills: Vec<String> = backfills.into_iter().map(str::to_owned).collect();
    let mut held = Held::default();
    if !ids.is_empty() {
        held.schedules = work
            .lock(&ids)
            .await?
            .into_iter()
            .map(|row| (row.id.clone(), row))
            .collect();
    }
    if !backfills.is_empty() {
        let rows = work.lock_backfills_of(&backfills).await?;
        held.backfills = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    }
    if !news.is_empty() {
        let keys: Vec<FireKey> = news.iter().map(|news| news.key.clone()).collect();
        let fires = work.fires(&keys).await?;
        held.fires = fires.into_iter().map(|fire| (fire.key.clone(), fire)).collect();
    }
    news.iter().for_each(|news| held.hear(news, now));
    let idle: Vec<String> = held.idle().collect();
    if !idle.is_empty() {
        let first = work.first_buffered(&idle).await?;
        held.release(first, now);
    }
    let schedules: Vec<ScheduleRow> = held.schedules.into_values().collect();
    if !schedules.is_empty() {
        work.update(&schedules).await?;
    }
    let fires: Vec<FireRow> = held.fires.into_values().collect();
    work.put_fires(&fires).await?;
    work.put_backfills(&held.backfills.into_values().collect::<Vec<_>>())
        .await?;
    if let Some(reading) = reading {
        work.put_reading(reading).await?;
    }
    work.commit().await?;
    Ok(held.released)
}

#[derive(Default)]
struct Held {
    schedules: BTreeMap<String, ScheduleRow>,
    backfills: BTreeMap<String, BackfillRow>,
    fires: BTreeMap<FireKey, FireRow>,
    released: bool,
}

impl Held {
    fn hear(&mut self, news: &News, now: i64) {
        let Some(fire) = self.fires.get_mut(&news.key) else {
            return;
        };
        let mut schedule = self.schedules.get_mut(&news.key.schedule_id);
        let starting = fire.is(Outcome::Starting);
        match &news.what {
            What::Started { execution, .. } | What::Ended { execution, .. } if starting => {
                fire.outcome = Outcome::Started as i64;
                fire.execution.clone_from(execution);
                fire.reason.clear();
                (fire.at, fire.due) = (now, now + UNSEEN);
                if let Some(schedule) = &mut schedule {
                    schedule.action_count += 1;
                }
            }
            What::Refused { reason } if starting => {
                fire.outcome = Outcome::Failed as i64;
                fire.reason.clone_from(reason);
                (fire.at, fire.cancel) = (now, false);
                if let Some(schedule) = &mut schedule {
                    schedule.start_failed += 1;
                }
                self.less_running(&news.key);
                return;
            }
            What::Later { reason, due } if starting => {
                fire.reason.clone_from(reason);
                fire.due = *due;
                return;
            }
            What::Cancelled => {
                fire.cancel = false;
                return;
            }
            _ => {}
        }
        let (What::Started { execution, state } | What::Ended { execution, state }) = &news.what else {
            return;
        };
        if fire.is(Outcome::Started) && fire.state.is_empty() && fire.execution == *execution && !state.is_empty() {
            fire.state.clone_from(state);
            fire.cancel = false;
            if let Some(schedule) = schedule {
                pause_on_failure(schedule, execution, state, now);
            }
            self.less_running(&news.key);
        }
    }

    fn less_running(&mut self, key: &FireKey) {
        let running = match key.backfill() {
            Some(backfill) => {
                let row = self.backfills.get_mut(backfill);
                self.released |= row.is_some();
                row.map(|row| &mut row.running)
            }
            None => self.schedules.get_mut(&key.schedule_id).map(|row| &mut row.running),
        };
        if let Some(running) = running {
            *running = (*running - 1).max(0);
        }
    }

    /// Schedules of which nothing runs and something waits.
    fn idle(&self) -> impl Iterator<Item = String> + '_ {
        let idle = self
            .schedules
            .values()
            .filter(|row| row.running == 0 && row.buffered > 0);
        idle.map(|row| row.id.clone())
    }

    fn release(&mut self, first: Vec<FireRow>, now: i64) {
        for mut fire in first {
            let Some(schedule) = self.schedules.get_mut(&fire.key.schedule_id) else {
                continue;
            };
            schedule.running += 1;
            schedule.buffered = (schedule.buffered - 1).max(0);
            fire.outcome = Outcome::Starting as i64;
            fire.reason.clear();
            (fire.at, fire.due) = (now, now);
            self.fires.insert(fire.key.clone(), fire);
            self.released = true;
        }
    }
}

fn pause_on_failure(schedule: &mut ScheduleRow, execution: &str, state: &str, now: i64) {
    let failed = matches!(state, "FAILED" | "TIMED_OUT");
    let asked = serde_json::from_str::<Definition>(&schedule.definition).is_ok_and(|said| said.pause_on_failure);
    if failed && asked && !schedule.paused {
        schedule.paused = true;
        schedule.note = format!("paused because execution {execution} ended {state}");
        schedule.updated_at = now;
        schedule.version += 1;
    }
}
