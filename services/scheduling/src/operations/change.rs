//! Creates, changes and deletes schedules.

use nexus_api::error::ApiError;
use nexus_api::scheduling::v1 as api;
use nexus_service::idempotency::{self, RequestKey};
use sha2::{Digest, Sha256};
use tonic::Status;
use uuid::Uuid;

use super::{check_etag, find, hold};
use crate::Context;
use crate::convert::{self, MAX_NOTE, check_name, check_text};
use crate::error::{exists, storage};
use crate::firing::begin;
use crate::store::rows::blank;
use crate::store::{Definition, ScheduleRow};
use nexus_schedule::Plan;

pub(crate) async fn create(
    context: &Context,
    request: api::CreateScheduleRequest,
) -> Result<api::CreateScheduleResponse, Status> {
    idempotency::check(&request.request_id)?;
    let said = request.schedule.unwrap_or_default();
    check_name(&said.name)?;
    check_text("schedule.note", &said.note, MAX_NOTE)?;
    let (definition, plan) = convert::definition(&said)?;
    let text = stored(&definition)?;
    let key = RequestKey::of(&context.namespace, &request.request_id, || digest(&[&said.name, &text]));
    if let Some(row) = former(context, key.as_ref()).await? {
        return Ok(created(&row));
    }
    let mut work = context.store.begin().await.map_err(storage)?;
    let now = work.now().await.map_err(storage)?;
    let mut row = row_of(context, &said, &definition, text, now);
    begin(&mut row, &plan, now);
    let is_new = work.insert(&row).await.map_err(storage)?;
    let is_first = match (&key, is_new) {
        (Some(RequestKey { key, fingerprint }), true) => work
            .put_request(key, fingerprint, row.name(), now)
            .await
            .map_err(storage)?,
        _ => is_new,
    };
    if !is_first {
        drop(work);
        // The same request may have come twice at once.
        return match former(context, key.as_ref()).await? {
            Some(row) => Ok(created(&row)),
            None => Err(exists(&said.name)),
        };
    }
    context
        .tell(&mut *work, row.name(), &request.request_id)
        .await
        .map_err(storage)?;
    work.commit().await.map_err(storage)?;
    context.wake.firing.notify_one();
    context.wake.following.notify_one();
    Ok(created(&row))
}

fn created(row: &ScheduleRow) -> api::CreateScheduleResponse {
    api::CreateScheduleResponse {
        schedule: Some(convert::schedule(row, 10)),
    }
}

/// A schedule that is new.
pub(super) fn row_of(
    context: &Context,
    said: &api::Schedule,
    definition: &Definition,
    text: String,
    now: i64,
) -> ScheduleRow {
    let id = Uuid::new_v4().to_string();
    ScheduleRow {
        namespace: context.namespace.to_string(),
        workflow: definition.workflow.clone(),
        definition: text,
        paused: said.paused,
        note: said.note.clone(),
        remaining: said.remaining_actions.and_then(|left| i64::try_from(left).ok()),
        created_at: now,
        updated_at: now,
        version: 1,
        ..blank(&id, &context.namespace.qualify(&said.name))
    }
}

/// What an earlier call with the same request id created.
async fn former(context: &Context, key: Option<&RequestKey>) -> Result<Option<ScheduleRow>, Status> {
    let Some(RequestKey { key, fingerprint }) = key else {
        return Ok(None);
    };
    let Some((name, known)) = context.store.request(key).await.map_err(storage)? else {
        return Ok(None);
    };
    if known != *fingerprint {
        return Err(idempotency::reused("to make another schedule").into());
    }
    find(context, &name).await.map(Some)
}

pub(super) fn stored(definition: &Definition) -> Result<String, Status> {
    serde_json::to_string(definition).map_err(|error| ApiError::field("schedule", error.to_string()).into())
}

pub(super) fn digest(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\u{1f}").as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) async fn update(
    context: &Context,
    request: api::UpdateScheduleRequest,
) -> Result<api::UpdateScheduleResponse, Status> {
    let said = request.schedule.unwrap_or_default();
    if !said.name.is_empty() && said.name != request.name {
        return Err(ApiError::field(
            "schedule.name",
            "is another one than name; a schedule cannot be renamed",
        )
        .into());
    }
    let (definition, plan) = convert::definition(&said)?;
    let (mut work, mut row) = hold(context, &request.name).await?;
    check_etag(&row, &request.etag)?;
    let now = work.now().await.map_err(storage)?;
    let left = said.remaining_actions.and_then(|left| i64::try_from(left).ok());
    put(&mut row, &definition, &plan, left, now)?;
    work.update(std::slice::from_ref(&row)).await.map_err(storage)?;
    context.tell(&mut *work, row.name(), "").await.map_err(storage)?;
    work.commit().await.map_err(storage)?;
    context.wake.firing.notify_one();
    Ok(api::UpdateScheduleResponse {
        schedule: Some(convert::schedule(&row, 10)),
    })
}

/// Makes a schedule be what a definition says. Where the times stay the same, those that are due stay due.
pub(super) fn put(
    row: &mut ScheduleRow,
    definition: &Definition,
    plan: &Plan,
    remaining: Option<i64>,
    now: i64,
) -> Result<(), Status> {
    let before: Definition = serde_json::from_str(&row.definition).unwrap_or_default();
    let same_times = before.spec == definition.spec && row.next_nominal.is_some();
    row.workflow.clone_from(&definition.workflow);
    row.definition = stored(definition)?;
    row.remaining = remaining;
    row.updated_at = now;
    row.version += 1;
    if !same_times || remaining == Some(0) {
        begin(row, plan, now);
    }
    Ok(())
}

pub(crate) async fn delete(
    context: &Context,
    request: api::DeleteScheduleRequest,
) -> Result<api::DeleteScheduleResponse, Status> {
    let (mut work, row) = hold(context, &request.schedule).await?;
    check_etag(&row, &request.etag)?;
    work.delete(&row.id).await.map_err(storage)?;
    context.tell(&mut *work, row.name(), "").await.map_err(storage)?;
    work.commit().await.map_err(storage)?;
    Ok(api::DeleteScheduleResponse {})
}
