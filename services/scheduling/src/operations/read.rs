//! Reads schedules, their fires, and when they fire next.

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use nexus_api::scheduling::v1 as api;
use nexus_api::time::{micros, timestamp};
use nexus_schedule::Plan;
use nexus_service::page;
use nexus_storage::filter::{self, Field, Operator};
use tonic::Status;

use super::find;
use crate::Context;
use crate::convert;
use crate::error::{invalid_spec, storage};
use crate::plans;
use crate::store::ListFilter;

/// Next times and recent actions that are shown of one schedule.
const SHOWN: usize = 10;
const MAX_RUNNING: u32 = 100;
/// Times of a preview at most.
const MAX_PREVIEW: i32 = 1_000;
const FIELDS: &[Field] = &[
    ("name", &[Operator::Contains]),
    ("workflow", &[Operator::Equal]),
    ("owner", &[Operator::Equal]),
    ("paused", &[Operator::Equal]),
];

pub(crate) async fn get(
    context: &Context,
    request: api::GetScheduleRequest,
) -> Result<api::GetScheduleResponse, Status> {
    let row = find(context, &request.schedule).await?;
    let mut schedule = convert::schedule(&row, SHOWN);
    let running = context.store.running(&row.id, MAX_RUNNING).await.map_err(storage)?;
    let actions = context.store.actions(&row.id, SHOWN as u32).await.map_err(storage)?;
    if let Some(info) = &mut schedule.info {
        info.running_executions = running;
        info.recent_actions = actions
            .into_iter()
            .map(|fire| convert::fire(fire, row.name()))
            .collect();
    }
    Ok(api::GetScheduleResponse {
        schedule: Some(schedule),
    })
}

pub(crate) async fn list(
    context: &Context,
    request: api::ListSchedulesRequest,
) -> Result<api::ListSchedulesResponse, Status> {
    let size = page::size(request.page_size)?;
    let wrong =
        |problem: String| ApiError::new(ErrorReason::InvalidFilter, problem.clone()).violation("filter", problem);
    let terms = filter::parse(&request.filter, FIELDS).map_err(|error| wrong(error.to_string()))?;
    let mut wanted = ListFilter::default();
    for term in terms {
        match term.field.as_str() {
            "name" => wanted.name_part = Some(term.value),
            "workflow" => wanted.workflow = Some(term.value),
            "owner" => wanted.owner = Some(term.value),
            _ => match term.value.as_str() {
                "true" => wanted.paused = Some(true),
                "false" => wanted.paused = Some(false),
                other => return Err(wrong(format!("paused is true or false, not {other:?}")).into()),
            },
        }
    }
    let query = context.namespace.qualify("schedules|").into_owned() + &request.filter;
    let after = page::key(&query, &request.page_token)?.unwrap_or_default();
    let listed = context.store.list(&context.namespace, &wanted, &after, size + 1).await;
    let mut rows = listed.map_err(storage)?;
    let mut next_page_token = String::new();
    if rows.len() > size as usize {
        rows.truncate(size as usize);
        next_page_token = rows
            .last()
            .map(|last| page::token(&query, last.name()))
            .unwrap_or_default();
    }
    Ok(api::ListSchedulesResponse {
        schedules: rows.iter().map(|row| convert::schedule(row, 1)).collect(),
        next_page_token,
    })
}

pub(crate) async fn fires(context: &Context, request: api::ListFiresRequest) -> Result<api::ListFiresResponse, Status> {
    let size = page::size(request.page_size)?;
    let row = find(context, &request.schedule).await?;
    let query = format!("fires|{}", row.id);
    let before = page::key_as::<i64>(&query, &request.page_token)?.unwrap_or_default();
    let mut fires = context.store.fires(&row.id, before, size + 1).await.map_err(storage)?;
    let mut next_page_token = String::new();
    if fires.len() > size as usize {
        fires.truncate(size as usize);
        let last = fires.last().map(|last| page::token(&query, &last.position.to_string()));
        next_page_token = last.unwrap_or_default();
    }
    Ok(api::ListFiresResponse {
        fires: fires.into_iter().map(|fire| convert::fire(fire, row.name())).collect(),
        next_page_token,
    })
}

pub(crate) async fn preview(
    context: &Context,
    request: api::PreviewScheduleRequest,
) -> Result<api::PreviewScheduleResponse, Status> {
    if !(0..=MAX_PREVIEW).contains(&request.count) {
        return Err(ApiError::field(
            "count",
            format!("must be from 0 to {MAX_PREVIEW}, it is {}", request.count),
        )
        .into());
    }
    let count = if request.count == 0 {
        10
    } else {
        request.count.unsigned_abs() as usize
    };
    let (plan, id) = match (&request.spec, request.schedule.as_str()) {
        (Some(_), name) if !name.is_empty() => {
            return Err(ApiError::field("spec", "and schedule are both given; give one of them").into());
        }
        (Some(spec), _) => {
            let spec = convert::spec_of(spec)?;
            let plan = Plan::of(&spec).map_err(|error| invalid_spec(&error))?;
            (plan, None)
        }
        (None, "") => return Err(ApiError::field("schedule", "or spec must be given").into()),
        (None, name) => {
            let row = find(context, name).await?;
            let (_, plan) = plans::read(&row).map_err(storage)?;
            (plan, Some(row.id))
        }
    };
    let after = match &request.start_time {
        Some(time) => micros(time),
        None => context.store.now().await.map_err(storage)?,
    };
    let found: Result<Vec<i64>, _> = plan.after(after).take(count).collect();
    let times = found.map_err(|error| ApiError::new(ErrorReason::InvalidSchedule, error.to_string()))?;
    let notes = plan.notes(&times);
    let shown = |at: &i64| api::PreviewedTime {
        time: Some(timestamp(*at)),
        local_time: plan.zone().rfc3339(*at),
        note: notes
            .iter()
            .find(|note| note.at == Some(*at))
            .map(|note| note.text.clone())
            .unwrap_or_default(),
        due_time: id
            .as_ref()
            .map(|id| plan.due(id, *at))
            .filter(|due| due != at)
            .map(timestamp),
    };
    Ok(api::PreviewScheduleResponse {
        times: times.iter().map(shown).collect(),
        notes: notes
            .iter()
            .filter(|note| note.at.is_none())
            .map(|note| note.text.clone())
            .collect(),
        timezone: plan.zone().name().to_owned(),
    })
}
