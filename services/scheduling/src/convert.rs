//! Messages of the contract as what is stored, and back.

use nexus_api::error::ApiError;
use nexus_api::scheduling::v1 as api;
use nexus_api::time::{duration, duration_micros, micros, timestamp};
use nexus_schedule::{Calendar, DayMatch, DstPolicy, Interval, Plan, Range, SECOND, Spec, Zone};

use crate::error::invalid_spec;
use crate::store::{BackfillRow, Catchup, Definition, FireRow, Overlap, ScheduleRow};

/// Characters of a name, a note and a description at most.
const MAX_NAME: usize = 128;
pub(crate) const MAX_NOTE: usize = 1_024;
const MAX_DESCRIPTION: usize = 4_096;
/// Bytes of params, as executions have it.
const MAX_PARAMS: usize = 512 << 10;
/// Labels beside those that are added, and bytes of a key or value.
const MAX_LABELS: usize = 60;
const MAX_LABEL: usize = 256;
/// The catch-up window: 365 days when not said, at least 10 s, at most 10 years.
const WINDOW: i64 = 365 * 86_400 * SECOND;
const LEAST_WINDOW: i64 = 10 * SECOND;
const MOST_WINDOW: i64 = 3_660 * 86_400 * SECOND;

type Checked<T> = Result<T, ApiError>;

/// A name that a schedule may have.
pub(crate) fn check_name(name: &str) -> Checked<()> {
    let mut letters = name.bytes();
    let begins = letters.next().is_some_and(|first| first.is_ascii_alphanumeric());
    let goes_on = letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'.' | b'_' | b'-'));
    match begins && goes_on && name.len() <= MAX_NAME {
        true => Ok(()),
        false => Err(ApiError::field(
            "schedule.name",
            format!(
                "must begin with a letter or digit and go on with letters, digits, . _ -, at most {MAX_NAME} in all"
            ),
        )),
    }
}

pub(crate) fn check_text(field: &str, text: &str, most: usize) -> Checked<()> {
    if text.chars().count() > most {
        return Err(ApiError::field(field, format!("has more than {most} characters")));
    }
    if text.contains('\0') {
        return Err(ApiError::field(field, "must not hold NUL characters"));
    }
    Ok(())
}

/// What a message says, checked.
pub(crate) fn definition(said: &api::Schedule) -> Checked<(Definition, Plan)> {
    check_text("schedule.description", &said.description, MAX_DESCRIPTION)?;
    check_text("schedule.workflow", &said.workflow, MAX_NAME)?;
    if said.workflow.is_empty() {
        return Err(ApiError::field(
            "schedule.workflow",
            "must name the workflow that it starts",
        ));
    }
    check_params(&said.params)?;
    check_labels(&said.labels)?;
    let policies = said.policies.unwrap_or_default();
    let window = policies.catchup_window.as_ref().map_or(WINDOW, duration_micros);
    if !(LEAST_WINDOW..=MOST_WINDOW).contains(&window) {
        let problem = format!("must be from 10 s to 3660 days, it is {} s", window / SECOND);
        return Err(ApiError::field("schedule.policies.catchup_window", problem));
    }
    let Some(spec) = &said.spec else {
        return Err(ApiError::field("schedule.spec", "must say when it fires"));
    };
    let spec = spec_of(spec)?;
    let plan = Plan::of(&spec).map_err(|error| invalid_spec(&error))?;
    let definition = Definition {
        workflow: said.workflow.clone(),
        revision: said.revision,
        params: said.params.clone(),
        labels: said.labels.clone().into_iter().collect(),
        description: said.description.clone(),
        spec,
        overlap: overlap(policies.overlap)?.unwrap_or_default(),
        catchup_window: window,
        catchup: catchup(policies.catchup)?.unwrap_or_default(),
        pause_on_failure: policies.pause_on_failure,
    };
    Ok((definition, plan))
}

fn check_params(params: &str) -> Checked<()> {
    if params.len() > MAX_PARAMS {
        let problem = format!("has {} bytes, at most {MAX_PARAMS} are taken", params.len());
        return Err(ApiError::field("schedule.params", problem));
    }
    let read = match params.trim() {
        "" => return Ok(()),
        params => serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(params),
    };
    read.map(drop)
        .map_err(|error| ApiError::field("schedule.params", format!("must be a JSON object: {error}")))
}

fn check_labels(labels: &std::collections::HashMap<String, String>) -> Checked<()> {
    if labels.len() > MAX_LABELS {
        return Err(ApiError::field(
            "schedule.labels",
            format!("has more than {MAX_LABELS} labels"),
        ));
    }
    for (key, value) in labels {
        let fits = (1..=MAX_LABEL).contains(&key.len()) && value.len() <= MAX_LABEL;
        if !fits || key.contains('\0') || value.contains('\0') {
            let problem = format!("each key and value has 1 to {MAX_LABEL} bytes and no NUL characters");
            return Err(ApiError::field("schedule.labels", problem));
        }
    }
    Ok(())
}

pub(crate) fn overlap(number: i32) -> Checked<Option<Overlap>> {
    let field = "schedule.policies.overlap";
    Ok(match api::OverlapPolicy::try_from(number) {
        Ok(api::OverlapPolicy::Unspecified) => None,
        Ok(api::OverlapPolicy::Skip) => Some(Overlap::Skip),
        Ok(api::OverlapPolicy::BufferOne) => Some(Overlap::BufferOne),
        Ok(api::OverlapPolicy::BufferAll) => Some(Overlap::BufferAll),
        Ok(api::OverlapPolicy::CancelOther) => Some(Overlap::CancelOther),
        Ok(api::OverlapPolicy::AllowAll) => Some(Overlap::AllowAll),
        Ok(api::OverlapPolicy::TerminateOther) => {
            let problem =
                "TERMINATE_OTHER cannot be had: executions are cancelled, not terminated; choose CANCEL_OTHER";
            return Err(ApiError::field(field, problem));
        }
        Err(_) => return Err(ApiError::field(field, format!("{number} is not a policy"))),
    })
}

pub(crate) fn catchup(number: i32) -> Checked<Option<Catchup>> {
    Ok(match api::CatchupPolicy::try_from(number) {
        Ok(api::CatchupPolicy::Unspecified) => None,
        Ok(api::CatchupPolicy::All) => Some(Catchup::All),
        Ok(api::CatchupPolicy::Last) => Some(Catchup::Last),
        Ok(api::CatchupPolicy::None) => Some(Catchup::None),
        Err(_) => return Err(ApiError::field("catchup", format!("{number} is not a policy"))),
    })
}

/// A specification as the library takes it.
pub(crate) fn spec_of(said: &api::ScheduleSpec) -> Checked<Spec> {
    let interval = |said: &api::IntervalSpec| Interval {
        every: said.every.as_ref().map_or(0, duration_micros),
        phase: said.phase.as_ref().map_or(0, duration_micros),
    };
    let utc = Zone::named("").map_err(|error| invalid_spec(&error.into()))?;
    Ok(Spec {
        crons: said.crons.clone(),
        intervals: said.intervals.iter().map(interval).collect(),
        calendars: said.calendars.iter().map(calendar).collect(),
        times: said.times.iter().map(|time| utc.rfc3339(micros(time))).collect(),
        exclude_crons: said.exclude_crons.clone(),
        exclude_calendars: said.exclude_calendars.iter().map(calendar).collect(),
        start: said.start_time.as_ref().map(micros),
        end: said.end_time.as_ref().map(micros),
        jitter: said.jitter.as_ref().map_or(0, duration_micros),
        timezone: said.timezone.clone(),
        dst_policy: match said.dst_policy() {
            api::DstPolicy::Literal => DstPolicy::Literal,
            _ => DstPolicy::Adjust,
        },
        day_match: match said.day_match() {
            api::DayMatch::And => DayMatch::And,
            _ => DayMatch::Or,
        },
    })
}

fn calendar(said: &api::CalendarSpec) -> Calendar {
    let ranges = |ranges: &[api::NumberRange]| {
        let range = |said: &api::NumberRange| Range {
            start: said.start,
            end: said.end,
            step: said.step,
        };
        ranges.iter().map(range).collect()
    };
    Calendar {
        second: ranges(&said.second),
        minute: ranges(&said.minute),
        hour: ranges(&said.hour),
        day_of_month: ranges(&said.day_of_month),
        month: ranges(&said.month),
        year: ranges(&said.year),
        day_of_week: ranges(&said.day_of_week),
        comment: said.comment.clone(),
    }
}

fn calendar_message(calendar: &Calendar) -> api::CalendarSpec {
    let ranges = |ranges: &[Range]| {
        let range = |range: &Range| api::NumberRange {
            start: range.start,
            end: range.end,
            step: range.step,
        };
        ranges.iter().map(range).collect()
    };
    api::CalendarSpec {
        second: ranges(&calendar.second),
        minute: ranges(&calendar.minute),
        hour: ranges(&calendar.hour),
        day_of_month: ranges(&calendar.day_of_month),
        month: ranges(&calendar.month),
        year: ranges(&calendar.year),
        day_of_week: ranges(&calendar.day_of_week),
        comment: calendar.comment.clone(),
    }
}

fn spec_message(spec: Spec) -> api::ScheduleSpec {
    let interval = |interval: &Interval| api::IntervalSpec {
        every: Some(duration(interval.every)),
        phase: (interval.phase != 0).then(|| duration(interval.phase)),
    };
    api::ScheduleSpec {
        intervals: spec.intervals.iter().map(interval).collect(),
        calendars: spec.calendars.iter().map(calendar_message).collect(),
        times: spec
            .times
            .iter()
            .filter_map(|time| nexus_api::time::parse(time))
            .map(timestamp)
            .collect(),
        exclude_calendars: spec.exclude_calendars.iter().map(calendar_message).collect(),
        start_time: spec.start.map(timestamp),
        end_time: spec.end.map(timestamp),
        jitter: (spec.jitter != 0).then(|| duration(spec.jitter)),
        dst_policy: match spec.dst_policy {
            DstPolicy::Adjust => api::DstPolicy::Adjust,
            DstPolicy::Literal => api::DstPolicy::Literal,
        }
        .into(),
        day_match: match spec.day_match {
            DayMatch::Or => api::DayMatch::Or,
            DayMatch::And => api::DayMatch::And,
        }
        .into(),
        crons: spec.crons,
        exclude_crons: spec.exclude_crons,
        timezone: spec.timezone,
    }
}

/// A schedule as callers see it, with as many of its next times.
pub(crate) fn schedule(row: &ScheduleRow, times: usize) -> api::Schedule {
    let definition: Definition = serde_json::from_str(&row.definition).unwrap_or_default();
    let plan = Plan::of(&definition.spec).ok().filter(|_| !row.paused);
    let upcoming = plan.as_ref().zip(row.next_nominal).map(|(plan, next)| {
        let most = row
            .remaining
            .and_then(|left| usize::try_from(left).ok())
            .unwrap_or(times);
        let fires = plan.after(next - 1).map_while(Result::ok);
        fires.take(times.min(most)).map(timestamp).collect()
    });
    let count = |number: i64| number.max(0).unsigned_abs();
    api::Schedule {
        name: row.name().to_owned(),
        namespace: row.namespace.clone(),
        owner: row.owner.clone(),
        paused: row.paused,
        note: row.note.clone(),
        remaining_actions: row.remaining.map(count),
        create_time: Some(timestamp(row.created_at)),
        update_time: Some(timestamp(row.updated_at)),
        etag: etag(row.version),
        info: Some(api::ScheduleInfo {
            action_count: count(row.action_count),
            missed_catchup_window: count(row.missed),
            overlap_skipped: count(row.overlap_skipped),
            buffer_dropped: count(row.buffer_dropped),
            start_failed: count(row.start_failed),
            buffer_size: count(row.buffered),
            running_executions: Vec::new(),
            recent_actions: Vec::new(),
            future_action_times: upcoming.unwrap_or_default(),
        }),
        policies: Some(policies(&definition)),
        workflow: definition.workflow,
        revision: definition.revision,
        params: definition.params,
        labels: definition.labels.into_iter().collect(),
        description: definition.description,
        spec: Some(spec_message(definition.spec)),
    }
}

fn policies(definition: &Definition) -> api::SchedulePolicies {
    api::SchedulePolicies {
        overlap: match definition.overlap {
            Overlap::Skip => api::OverlapPolicy::Skip,
            Overlap::BufferOne => api::OverlapPolicy::BufferOne,
            Overlap::BufferAll => api::OverlapPolicy::BufferAll,
            Overlap::CancelOther => api::OverlapPolicy::CancelOther,
            Overlap::AllowAll => api::OverlapPolicy::AllowAll,
        }
        .into(),
        catchup_window: Some(duration(definition.catchup_window)),
        catchup: match definition.catchup {
            Catchup::All => api::CatchupPolicy::All,
            Catchup::Last => api::CatchupPolicy::Last,
            Catchup::None => api::CatchupPolicy::None,
        }
        .into(),
        pause_on_failure: definition.pause_on_failure,
    }
}

pub(crate) fn etag(version: i64) -> String {
    format!("v{version}")
}

/// A fire as callers see it.
pub(crate) fn fire(row: FireRow, schedule: &str) -> api::Fire {
    api::Fire {
        schedule: schedule.to_owned(),
        nominal_time: Some(timestamp(row.key.nominal)),
        actual_time: Some(timestamp(row.at)),
        // The numbers are those of the contract.
        outcome: i32::try_from(row.outcome).unwrap_or_default(),
        reason: row.reason,
        execution: row.execution,
        execution_state: row.state,
        source: row.key.source,
    }
}

/// A backfill as callers see it.
pub(crate) fn backfill(row: BackfillRow) -> api::Backfill {
    let count = |number: i64| number.max(0).unsigned_abs();
    api::Backfill {
        schedule: row.schedule_key.rsplit('/').next().unwrap_or_default().to_owned(),
        start_time: Some(timestamp(row.after_at)),
        end_time: Some(timestamp(row.until_at)),
        max_concurrent: u32::try_from(row.max_concurrent).unwrap_or_default(),
        newest_first: row.newest_first,
        state: i32::try_from(row.state).unwrap_or_default(),
        total: count(row.total),
        fired: count(row.fired),
        running: count(row.running),
        create_time: Some(timestamp(row.created_at)),
        id: row.id,
    }
}
