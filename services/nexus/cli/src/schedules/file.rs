//! The schedules of a workflow file, kept by the scheduling service as the file says.

use nexus_api::scheduling::v1 as api;
use nexus_api::scheduling::v1::scheduling_service_client::SchedulingServiceClient;
use nexus_api::time::{duration, timestamp};
use nexus_mesh::Transport;
use nexus_schedule::Zone;
use nexus_spec::model::schedule::{Catchup, DayMatch, DstPolicy, Overlap, Schedule};
use tonic::{Code, Status};

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// What was done, a line for each schedule that is not as it was.
    pub lines: Vec<String>,
}

/// Makes the schedules of a file be what it says. A file without schedules asks for nothing of a server that knows none, or
/// of one whose caller may not write them.
///
/// # Errors
/// When the service refuses them or cannot be reached.
pub async fn keep(way: Transport, source: &str, validate_only: bool) -> Result<Kept, Status> {
    let Some(workflow) = nexus_spec::parse(source, "").workflow else {
        return Ok(Kept::default());
    };
    let request = api::ApplySchedulesRequest {
        schedules: workflow
            .schedules
            .iter()
            .map(|(name, schedule)| message(&workflow.name, name, schedule))
            .collect(),
        workflow: workflow.name,
        validate_only,
    };
    let has_none = request.schedules.is_empty();
    let answer = SchedulingServiceClient::new(way).apply_schedules(request).await;
    let answer = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) if has_none && matches!(status.code(), Code::Unimplemented | Code::PermissionDenied) => {
            return Ok(Kept::default());
        }
        Err(status) => return Err(status),
    };
    let told = [
        ("created", answer.created),
        ("updated", answer.updated),
        ("deleted", answer.deleted),
    ];
    let lines = told.into_iter().flat_map(|(done, names)| {
        let line = move |name: String| format!("schedule {name}: {done}");
        names.into_iter().map(line)
    });
    Ok(Kept { lines: lines.collect() })
}

/// A schedule of a file as the service takes it; its name begins with the workflow's.
fn message(workflow: &str, name: &str, said: &Schedule) -> api::Schedule {
    let zone = Zone::named(&said.timezone).ok();
    let moment = |text: &String| zone.as_ref().and_then(|zone| zone.moment(text)).map(timestamp);
    let every = said.every.map(|every| api::IntervalSpec {
        every: Some(duration(every.micros())),
        phase: None,
    });
    api::Schedule {
        name: format!("{workflow}.{name}"),
        workflow: workflow.to_owned(),
        description: said.description.clone(),
        paused: said.paused,
        params: match said.params.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&said.params).unwrap_or_default(),
        },
        spec: Some(api::ScheduleSpec {
            crons: said.cron.clone(),
            intervals: every.into_iter().collect(),
            times: said.at.iter().filter_map(moment).collect(),
            exclude_crons: said.exclude.clone(),
            start_time: moment(&said.start),
            end_time: moment(&said.end),
            jitter: said.jitter.map(|jitter| duration(jitter.micros())),
            timezone: said.timezone.clone(),
            dst_policy: match said.dst_policy {
                None => api::DstPolicy::Unspecified,
                Some(DstPolicy::Adjust) => api::DstPolicy::Adjust,
                Some(DstPolicy::Literal) => api::DstPolicy::Literal,
            }
            .into(),
            day_match: match said.day_match {
                None => api::DayMatch::Unspecified,
                Some(DayMatch::Or) => api::DayMatch::Or,
                Some(DayMatch::And) => api::DayMatch::And,
            }
            .into(),
            ..api::ScheduleSpec::default()
        }),
        policies: Some(policies(said)),
        ..api::Schedule::default()
    }
}

fn policies(said: &Schedule) -> api::SchedulePolicies {
    api::SchedulePolicies {
        overlap: match said.overlap {
            None => api::OverlapPolicy::Unspecified,
            Some(Overlap::Skip) => api::OverlapPolicy::Skip,
            Some(Overlap::BufferOne) => api::OverlapPolicy::BufferOne,
            Some(Overlap::BufferAll) => api::OverlapPolicy::BufferAll,
            Some(Overlap::CancelOther) => api::OverlapPolicy::CancelOther,
            Some(Overlap::AllowAll) => api::OverlapPolicy::AllowAll,
        }
        .into(),
        catchup: match said.catchup {
            None => api::CatchupPolicy::Unspecified,
            Some(Catchup::All) => api::CatchupPolicy::All,
            Some(Catchup::Last) => api::CatchupPolicy::Last,
            Some(Catchup::None) => api::CatchupPolicy::None,
        }
        .into(),
        catchup_window: said.catchup_window.map(|window| duration(window.micros())),
        pause_on_failure: said.pause_on_failure,
    }
}
