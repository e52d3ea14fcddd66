//! What was typed as what the service takes.

use nexus_api::scheduling::v1 as api;
use nexus_api::time::{duration, timestamp};
use nexus_cli_frame::{CliError, files};
use nexus_schedule::Zone;
use serde_json::Value;

use crate::args::{Catchup, DayMatch, DstPolicy, Policy, Settings, Times};
use crate::params;

/// Lays what was said over a schedule.
pub(super) fn lay_over(schedule: &mut api::Schedule, said: &Settings) -> Result<(), CliError> {
    if let Some(workflow) = &said.workflow {
        schedule.workflow.clone_from(workflow);
    }
    if let Some(description) = &said.description {
        schedule.description.clone_from(description);
    }
    if let Some(revision) = said.revision {
        schedule.revision = revision;
    }
    if said.actions.is_some() {
        schedule.remaining_actions = said.actions;
    }
    if said.times.is_said() {
        schedule.spec = Some(spec(&said.times)?);
    }
    if !said.params.is_empty() {
        let read = |path: &str| files::read(std::path::Path::new(path)).map(|source| source.text);
        let given = params::parse(None, &said.params, None, read)?;
        schedule.params = Value::Object(given).to_string();
    }
    if !said.labels.is_empty() {
        schedule.labels = params::labels(&said.labels)?;
    }
    let policies = schedule.policies.get_or_insert_default();
    if said.overlap.is_some() {
        policies.overlap = overlap(said.overlap).into();
    }
    if said.catchup.is_some() {
        policies.catchup = catchup(said.catchup).into();
    }
    if let Some(window) = said.catchup_window {
        policies.catchup_window = Some(duration(i64::try_from(window.as_micros()).unwrap_or(i64::MAX)));
    }
    policies.pause_on_failure |= said.pause_on_failure;
    Ok(())
}

/// When something fires.
pub(super) fn spec(times: &Times) -> Result<api::ScheduleSpec, CliError> {
    let name = times.timezone.clone().unwrap_or_default();
    let zone = Zone::named(&name).map_err(|error| CliError::Usage(format!("--timezone: {error}")))?;
    let moment = |text: &String| {
        let wrong = || CliError::Usage(format!("{text:?} is not a time; write it as 2026-03-29T09:00:00+02:00"));
        zone.moment(text).map(timestamp).ok_or_else(wrong)
    };
    let every = times.every.iter().map(|every| format!("@every {every}"));
    Ok(api::ScheduleSpec {
        crons: times.crons.iter().cloned().chain(every).collect(),
        times: times.at.iter().map(moment).collect::<Result<_, _>>()?,
        exclude_crons: times.exclude_crons.clone(),
        start_time: times.start.as_ref().map(moment).transpose()?,
        end_time: times.end.as_ref().map(moment).transpose()?,
        jitter: times
            .jitter
            .map(|jitter| duration(i64::try_from(jitter.as_micros()).unwrap_or(i64::MAX))),
        timezone: name,
        dst_policy: match times.dst_policy {
            None => api::DstPolicy::Unspecified,
            Some(DstPolicy::Adjust) => api::DstPolicy::Adjust,
            Some(DstPolicy::Literal) => api::DstPolicy::Literal,
        }
        .into(),
        day_match: match times.day_match {
            None => api::DayMatch::Unspecified,
            Some(DayMatch::Or) => api::DayMatch::Or,
            Some(DayMatch::And) => api::DayMatch::And,
        }
        .into(),
        ..api::ScheduleSpec::default()
    })
}

pub(super) fn overlap(policy: Option<Policy>) -> api::OverlapPolicy {
    match policy {
        None => api::OverlapPolicy::Unspecified,
        Some(Policy::Skip) => api::OverlapPolicy::Skip,
        Some(Policy::BufferOne) => api::OverlapPolicy::BufferOne,
        Some(Policy::BufferAll) => api::OverlapPolicy::BufferAll,
        Some(Policy::CancelOther) => api::OverlapPolicy::CancelOther,
        Some(Policy::TerminateOther) => api::OverlapPolicy::TerminateOther,
        Some(Policy::AllowAll) => api::OverlapPolicy::AllowAll,
    }
}

pub(super) fn catchup(policy: Option<Catchup>) -> api::CatchupPolicy {
    match policy {
        None => api::CatchupPolicy::Unspecified,
        Some(Catchup::All) => api::CatchupPolicy::All,
        Some(Catchup::Last) => api::CatchupPolicy::Last,
        Some(Catchup::None) => api::CatchupPolicy::None,
    }
}
