//! Backfills: counts them, begins them, shows and cancels them.

use nexus_api::error::ApiError;
use nexus_api::scheduling::v1 as api;
use nexus_api::time::{micros, timestamp};
use nexus_schedule::Plan;
use nexus_service::idempotency::RequestKey;
use nexus_service::{idempotency, page};
use tonic::Status;
use uuid::Uuid;

use super::change::digest;
use super::{find, hold};
use crate::Context;
use crate::backfilling::next;
use crate::convert;
use crate::error::{backfill_not_found, storage};
use crate::plans::read;
use crate::store::{BackfillRow, BackfillState};

/// Times of one backfill at most, and how many of them are shown beforehand.
const MAX_TIMES: i64 = 100_000;
const SHOWN: usize = 20;
const MAX_CONCURRENT: u32 = 1_000;

pub(crate) async fn create(
    context: &Context,
    request: api::CreateBackfillRequest,
) -> Result<api::CreateBackfillResponse, Status> {
    idempotency::check(&request.request_id)?;
    let (Some(start), Some(end)) = (&request.start_time, &request.end_time) else {
        return Err(ApiError::field("start_time", "and end_time must say the span").into());
    };
    let (after_at, until_at) = (micros(start), micros(end));
    if until_at <= after_at {
        return Err(ApiError::field("end_time", "must be after start_time").into());
    }
    if request.max_concurrent > MAX_CONCURRENT {
        let problem = format!("must be from 1 to {MAX_CONCURRENT}, it is {}", request.max_concurrent);
        return Err(ApiError::field("max_concurrent", problem).into());
    }
    let said = format!(
        "{after_at}|{until_at}|{}|{}",
        request.max_concurrent, request.newest_first
    );
    let key = RequestKey::of(&context.namespace, &request.request_id, || {
        digest(&[&request.schedule, &said])
    });
    let (mut work, schedule) = hold(context, &request.schedule).await?;
    let (_, plan) = read(&schedule).map_err(storage)?;
    if let Some(row) = former(context, key.as_ref()).await? {
        return Ok(answer(row, &plan));
    }
    let now = work.now().await.map_err(storage)?;
    let mut row = BackfillRow {
        id: String::new(),
        schedule_id: schedule.id.clone(),
        schedule_key: schedule.key.clone(),
        namespace: schedule.namespace.clone(),
        after_at,
        until_at,
        max_concurrent: i64::from(request.max_concurrent.max(1)),
        newest_first: request.newest_first,
        state: BackfillState::Running as i64,
        total: count(&plan, after_at, until_at)?,
        fired: 0,
        running: 0,
        cursor: None,
        created_at: now,
    };
    if request.validate_only {
        return Ok(answer(row, &plan));
    }
    row.id = Uuid::now_v7().to_string();
    if let Some(RequestKey { key, fingerprint }) = &key {
        work.put_request(key, fingerprint, &row.id, now)
            .await
            .map_err(storage)?;
    }
    work.put_backfills(std::slice::from_ref(&row)).await.map_err(storage)?;
    context
        .tell(&mut *work, schedule.name(), &request.request_id)
        .await
        .map_err(storage)?;
    work.commit().await.map_err(storage)?;
    context.wake.firing.notify_one();
    Ok(answer(row, &plan))
}

fn count(plan: &Plan, after: i64, until: i64) -> Result<i64, Status> {
    let mut total = 0;
    for time in plan.after(after) {
        match time {
            Ok(time) if time <= until => total += 1,
            _ => break,
        }
        if total > MAX_TIMES {
            let problem = format!("is too long: it has more than {MAX_TIMES} times; backfill it in parts");
            return Err(ApiError::field("end_time", problem).into());
        }
    }
    Ok(total)
}

/// What an earlier call with the same request id began.
async fn former(context: &Context, key: Option<&RequestKey>) -> Result<Option<BackfillRow>, Status> {
    let Some(RequestKey { key, fingerprint }) = key else {
        return Ok(None);
    };
    match context.store.request(key).await.map_err(storage)? {
        None => Ok(None),
        Some((_, known)) if known != *fingerprint => Err(idempotency::reused("for something else").into()),
        Some((id, _)) => context.store.backfill(&id).await.map_err(storage),
    }
}

fn answer(row: BackfillRow, plan: &Plan) -> api::CreateBackfillResponse {
    let mut walked = BackfillRow {
        cursor: None,
        ..row.clone()
    };
    let times = std::iter::from_fn(|| {
        walked.cursor = Some(next(&walked, plan)?);
        walked.cursor.map(timestamp)
    });
    api::CreateBackfillResponse {
        first_times: times.take(SHOWN).collect(),
        backfill: Some(convert::backfill(row)),
    }
}

/// A backfill of the call's namespace.
async fn known(context: &Context, id: &str) -> Result<BackfillRow, Status> {
    let found = context.store.backfill(id).await.map_err(storage)?;
    let found = found.filter(|row| row.namespace == context.namespace.as_str());
    found.ok_or_else(|| backfill_not_found(id))
}

pub(crate) async fn get(
    context: &Context,
    request: api::GetBackfillRequest,
) -> Result<api::GetBackfillResponse, Status> {
    let row = known(context, &request.backfill).await?;
    Ok(api::GetBackfillResponse {
        backfill: Some(convert::backfill(row)),
    })
}

pub(crate) async fn list(
    context: &Context,
    request: api::ListBackfillsRequest,
) -> Result<api::ListBackfillsResponse, Status> {
    let size = page::size(request.page_size)?;
    let key = match request.schedule.as_str() {
        "" => None,
        name => Some(find(context, name).await?.key),
    };
    let query = context.namespace.qualify("backfills|").into_owned() + &request.schedule;
    let before = page::key(&query, &request.page_token)?.unwrap_or_default();
    let listed = context
        .store
        .backfills(&context.namespace, key.as_deref(), &before, size + 1)
        .await;
    let mut rows = listed.map_err(storage)?;
    let mut next_page_token = String::new();
    if rows.len() > size as usize {
        rows.truncate(size as usize);
        next_page_token = rows
            .last()
            .map(|last| page::token(&query, &last.id))
            .unwrap_or_default();
    }
    Ok(api::ListBackfillsResponse {
        backfills: rows.into_iter().map(convert::backfill).collect(),
        next_page_token,
    })
}

pub(crate) async fn cancel(
    context: &Context,
    request: api::CancelBackfillRequest,
) -> Result<api::CancelBackfillResponse, Status> {
    let row = known(context, &request.backfill).await?;
    let mut work = context.store.begin().await.map_err(storage)?;
    let mut rows = work
        .lock_backfills_of(std::slice::from_ref(&row.id))
        .await
        .map_err(storage)?;
    for row in rows.iter_mut().filter(|row| row.state == BackfillState::Running as i64) {
        row.state = BackfillState::Cancelled as i64;
    }
    work.put_backfills(&rows).await.map_err(storage)?;
    let name = row.schedule_key.rsplit('/').next().unwrap_or_default();
    context.tell(&mut *work, name, "").await.map_err(storage)?;
    work.commit().await.map_err(storage)?;
    Ok(api::CancelBackfillResponse {
        backfill: rows.pop().map(convert::backfill),
    })
}
