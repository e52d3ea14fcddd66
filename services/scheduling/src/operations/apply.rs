//! Makes the schedules of a workflow's file be what the file says.

use std::collections::BTreeMap;

use nexus_api::error::ApiError;
use nexus_api::scheduling::v1 as api;
use tonic::Status;

use super::change::{put, row_of, stored};
use crate::Context;
use crate::convert::{self, check_name};
use crate::error::{exists, storage};
use crate::firing::begin;
use crate::store::{Definition, ScheduleRow};

/// Schedules of one file at most.
const MAX_OWNED: usize = 100;

pub(crate) async fn apply(
    context: &Context,
    request: api::ApplySchedulesRequest,
) -> Result<api::ApplySchedulesResponse, Status> {
    if request.workflow.is_empty() {
        return Err(ApiError::field("workflow", "must name the workflow whose file it is").into());
    }
    if request.schedules.len() > MAX_OWNED {
        let problem = format!("has {} entries; at most {MAX_OWNED} are taken", request.schedules.len());
        return Err(ApiError::field("schedules", problem).into());
    }
    let mut wanted = BTreeMap::new();
    for said in &request.schedules {
        check_name(&said.name)?;
        let (definition, plan) = convert::definition(said)?;
        if wanted.insert(said.name.clone(), (said, definition, plan)).is_some() {
            return Err(ApiError::field("schedules", format!("names {:?} twice", said.name)).into());
        }
    }
    let mut work = context.store.begin().await.map_err(storage)?;
    let now = work.now().await.map_err(storage)?;
    let owned = work
        .lock_owned(&context.namespace, &request.workflow)
        .await
        .map_err(storage)?;
    let mut owned: BTreeMap<String, ScheduleRow> = owned.into_iter().map(|row| (row.name().to_owned(), row)).collect();
    let mut answer = api::ApplySchedulesResponse::default();
    for (name, (said, definition, plan)) in wanted {
        let Some(mut row) = owned.remove(&name) else {
            let mut row = row_of(context, said, &definition, stored(&definition)?, now);
            row.owner.clone_from(&request.workflow);
            begin(&mut row, &plan, now);
            if !work.insert(&row).await.map_err(storage)? {
                return Err(exists(&name));
            }
            answer.created.push(name);
            continue;
        };
        if serde_json::from_str::<Definition>(&row.definition).is_ok_and(|before| before == definition) {
            answer.unchanged.push(name);
            continue;
        }
        let remaining = row.remaining;
        put(&mut row, &definition, &plan, remaining, now)?;
        work.update(std::slice::from_ref(&row)).await.map_err(storage)?;
        answer.updated.push(name);
    }
    for (name, row) in owned {
        work.delete(&row.id).await.map_err(storage)?;
        answer.deleted.push(name);
    }
    let changed = [&answer.created, &answer.updated, &answer.deleted];
    if request.validate_only || changed.iter().all(|names| names.is_empty()) {
        return Ok(answer);
    }
    for name in changed.into_iter().flatten() {
        context.tell(&mut *work, name, "").await.map_err(storage)?;
    }
    work.commit().await.map_err(storage)?;
    context.wake.firing.notify_one();
    context.wake.following.notify_one();
    Ok(answer)
}
