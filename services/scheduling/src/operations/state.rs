//! Pauses, unpauses and triggers schedules.

use std::time::Duration;

use nexus_api::scheduling::v1 as api;
use nexus_service::idempotency;
use tokio::time::{Instant, sleep};
use tonic::Status;
use uuid::Uuid;

use super::{find, hold};
use crate::Context;
use crate::convert::{self, MAX_NOTE, check_text};
use crate::decide::{Decided, decide, overlap};
use crate::error::storage;
use crate::firing::replaced_of;
use crate::plans::read;
use crate::store::rows::TRIGGER;
use crate::store::{FireKey, FireRow, Outcome, ScheduleRow, Work};

/// Missed fires that are counted at most.
const COUNTED: usize = 10_000;
/// How long a trigger waits for its execution's start, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(30);

pub(crate) async fn pause(
    context: &Context,
    request: api::PauseScheduleRequest,
) -> Result<api::PauseScheduleResponse, Status> {
    check_text("note", &request.note, MAX_NOTE)?;
    let (work, mut row) = hold(context, &request.schedule).await?;
    row.paused = true;
    row.note = request.note;
    let row = changed(context, work, row, &[]).await?;
    Ok(api::PauseScheduleResponse {
        schedule: Some(convert::schedule(&row, 10)),
    })
}

/// Writes a schedule that somebody changed, and tells of it.
async fn changed(
    context: &Context,
    mut work: Box<dyn Work>,
    mut row: ScheduleRow,
    fires: &[FireRow],
) -> Result<ScheduleRow, Status> {
    row.updated_at = work.now().await.map_err(storage)?;
    row.version += 1;
    work.update(std::slice::from_ref(&row)).await.map_err(storage)?;
    work.put_fires(fires).await.map_err(storage)?;
    context.tell(&mut *work, row.name(), "").await.map_err(storage)?;
    work.commit().await.map_err(storage)?;
    Ok(row)
}

pub(crate) async fn unpause(
    context: &Context,
    request: api::UnpauseScheduleRequest,
) -> Result<api::UnpauseScheduleResponse, Status> {
    check_text("note", &request.note, MAX_NOTE)?;
    let catchup = convert::catchup(request.catchup)?;
    let (mut work, mut row) = hold(context, &request.schedule).await?;
    let now = work.now().await.map_err(storage)?;
    let (mut definition, plan) = read(&row).map_err(storage)?;
    definition.catchup = catchup.unwrap_or(definition.catchup);
    let (mut missed, mut made, mut waits) = (0, 0, Decided::default());
    // What was missed is decided here and now, as this call wants it and not as the schedule would.
    while row.paused && missed < COUNTED {
        let decided = decide(&mut row, &definition, &plan, now);
        if decided.fires.is_empty() {
            break;
        }
        missed += decided.fires.len();
        made += decided.fires.iter().filter(|fire| !fire.is(Outcome::Skipped)).count();
        waits.cancels |= decided.cancels;
        waits.replaces |= decided.replaces;
        waits.fires.extend(decided.fires);
    }
    row.paused = false;
    row.note = request.note;
    if !request.validate_only {
        let id = [row.id.clone()];
        if waits.replaces {
            let replaced = replaced_of(work.buffered(&id).await.map_err(storage)?);
            work.put_fires(&replaced).await.map_err(storage)?;
        }
        if waits.cancels {
            work.cancel_running(&id, now).await.map_err(storage)?;
        }
        row = changed(context, work, row, &waits.fires).await?;
        crate::metrics::decided(&waits.fires);
        context.wake.firing.notify_one();
        context.wake.starting.notify_one();
    }
    Ok(api::UnpauseScheduleResponse {
        schedule: Some(convert::schedule(&row, 10)),
        missed: missed as u64,
        made_up_for: made as u64,
    })
}

pub(crate) async fn trigger(
    context: &Context,
    request: api::TriggerScheduleRequest,
) -> Result<api::TriggerScheduleResponse, Status> {
    idempotency::check(&request.request_id)?;
    let policy = convert::overlap(request.overlap)?;
    let id = match request.request_id.as_str() {
        "" => Uuid::new_v4().to_string(),
        id => id.to_owned(),
    };
    let source = format!("{TRIGGER}{id}");
    let (mut work, mut row) = hold(context, &request.schedule).await?;
    // Under the schedule's lock: of two that come at once the second sees the first.
    let known = context.store.triggered(&row.id, &source).await.map_err(storage)?;
    if known.is_none() {
        let now = work.now().await.map_err(storage)?;
        let (definition, _) = read(&row).map_err(storage)?;
        let key = FireKey {
            schedule_id: row.id.clone(),
            source: source.clone(),
            nominal: now,
        };
        let mut decided = Decided::default();
        let fire = overlap(&mut row, policy.unwrap_or(definition.overlap), key, now, &mut decided);
        let ids = [row.id.clone()];
        if decided.replaces {
            let replaced = replaced_of(work.buffered(&ids).await.map_err(storage)?);
            work.put_fires(&replaced).await.map_err(storage)?;
        }
        if decided.cancels {
            work.cancel_running(&ids, now).await.map_err(storage)?;
        }
        work.update(std::slice::from_ref(&row)).await.map_err(storage)?;
        work.put_fires(std::slice::from_ref(&fire)).await.map_err(storage)?;
        context
            .tell(&mut *work, row.name(), &request.request_id)
            .await
            .map_err(storage)?;
        work.commit().await.map_err(storage)?;
        crate::metrics::decided(std::slice::from_ref(&fire));
        context.wake.starting.notify_one();
    } else {
        drop(work);
    }
    settled(context, &row, &source).await
}

/// The fire, as soon as its execution is started or cannot be; as it is when that takes long.
async fn settled(context: &Context, row: &ScheduleRow, source: &str) -> Result<api::TriggerScheduleResponse, Status> {
    let until = Instant::now() + PATIENCE;
    loop {
        let fire = context.store.triggered(&row.id, source).await.map_err(storage)?;
        let Some(fire) = fire else {
            // It went with its schedule.
            find(context, row.name()).await?;
            return Err(crate::error::not_found(row.name()));
        };
        if !fire.is(Outcome::Starting) || Instant::now() > until {
            return Ok(api::TriggerScheduleResponse {
                fire: Some(convert::fire(fire, row.name())),
            });
        }
        sleep(LOOK).await;
    }
}
