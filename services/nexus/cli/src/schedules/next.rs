//! `nexus schedules next`: when something fires, of a schedule or of an expression; the latter without a server.

use nexus_api::scheduling::v1 as api;
use nexus_api::time::{micros, timestamp};
use nexus_cli_frame::{CliError, Exit, Output, time};
use nexus_schedule::{DayMatch, DstPolicy, Plan, Spec, Zone};
use serde_json::Value;

use super::Client;
use crate::args::{self, NextArgs};

/// Times of an expression.
pub(crate) fn offline(args: &NextArgs, output: &Output) -> Result<Exit, CliError> {
    let said = &args.times;
    let name = said.timezone.clone().unwrap_or_default();
    let zone = Zone::named(&name).map_err(|error| CliError::Invalid(format!("--timezone: {error}")))?;
    let every = said.every.iter().map(|every| format!("@every {every}"));
    let micros = |span: std::time::Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    let spec = Spec {
        crons: said.crons.iter().cloned().chain(every).collect(),
        times: said
            .at
            .iter()
            .map(|text| moment(&zone, "at", text).map(|at| zone.rfc3339(at)))
            .collect::<Result<_, _>>()?,
        exclude_crons: said.exclude_crons.clone(),
        start: said
            .start
            .as_ref()
            .map(|text| moment(&zone, "start", text))
            .transpose()?,
        end: said.end.as_ref().map(|text| moment(&zone, "end", text)).transpose()?,
        jitter: said.jitter.map_or(0, micros),
        timezone: name,
        dst_policy: match said.dst_policy {
            Some(args::DstPolicy::Literal) => DstPolicy::Literal,
            _ => DstPolicy::Adjust,
        },
        day_match: match said.day_match {
            Some(args::DayMatch::And) => DayMatch::And,
            _ => DayMatch::Or,
        },
        ..Spec::default()
    };
    let plan = Plan::of(&spec).map_err(|error| CliError::Invalid(error.to_string()))?;
    let now = time::now_micros();
    let from = args.from.as_ref().map(|text| moment(&zone, "from", text)).transpose()?;
    let found: Result<Vec<i64>, _> = plan.after(from.unwrap_or(now)).take(args.count as usize).collect();
    let times = found.map_err(|error| CliError::Invalid(error.to_string()))?;
    let notes = plan.notes(&times);
    let shown = |at: &i64| Shown {
        at: *at,
        local: plan.zone().rfc3339(*at),
        note: notes
            .iter()
            .find(|note| note.at == Some(*at))
            .map(|note| note.text.clone())
            .unwrap_or_default(),
    };
    let shown: Vec<Shown> = times.iter().map(shown).collect();
    let general: Vec<String> = notes
        .iter()
        .filter(|note| note.at.is_none())
        .map(|note| note.text.clone())
        .collect();
    show(&shown, &general, plan.zone(), now, output)?;
    Ok(Exit::Ok)
}

/// Times of a schedule.
pub(super) async fn of_schedule(args: NextArgs, client: &mut Client<'_>) -> Result<(), CliError> {
    let utc = Zone::named("").map_err(|error| CliError::Invalid(error.to_string()))?;
    let from = args.from.as_ref().map(|text| moment(&utc, "from", text)).transpose()?;
    let request = api::PreviewScheduleRequest {
        schedule: args.schedule.unwrap_or_default(),
        start_time: from.map(timestamp),
        count: i32::try_from(args.count).unwrap_or(i32::MAX),
        ..api::PreviewScheduleRequest::default()
    };
    let answer = client.schedules.preview_schedule(request).await;
    let answer = client.answer(answer)?;
    let zone = Zone::named(&answer.timezone).map_err(|error| CliError::Invalid(error.to_string()))?;
    let shown = |time: &api::PreviewedTime| Shown {
        at: time.time.as_ref().map(micros).unwrap_or_default(),
        local: time.local_time.clone(),
        note: time.note.clone(),
    };
    let shown: Vec<Shown> = answer.times.iter().map(shown).collect();
    show(&shown, &answer.notes, &zone, time::now_micros(), client.output)
}

fn moment(zone: &Zone, option: &str, text: &str) -> Result<i64, CliError> {
    let wrong = || {
        CliError::Usage(format!(
            "--{option} takes a time such as 2026-03-29T09:00:00+02:00 or 2026-03-29, not {text:?}"
        ))
    };
    zone.moment(text).ok_or_else(wrong)
}

/// A time as it is shown.
struct Shown {
    at: i64,
    local: String,
    note: String,
}

/// Times on stdout: as JSON exactly a list of them. What is to know of them on stderr.
fn show(times: &[Shown], notes: &[String], zone: &Zone, now: i64, output: &Output) -> Result<(), CliError> {
    if !output.is_table() {
        let list = times.iter().map(|time| Value::String(time.local.clone())).collect();
        return output.value(&Value::Array(list));
    }
    for time in times {
        let distance = match time.at - now {
            ahead if ahead >= 0 => format!("in {}", time::span(ahead)),
            past => format!("{} ago", time::span(-past)),
        };
        output.line(&format!("{}  {}  {distance}", time.local, zone.for_people(time.at)))?;
    }
    if times.is_empty() {
        eprintln!("it does not fire any more");
    }
    for note in notes {
        eprintln!("note: {note}");
    }
    for time in times.iter().filter(|time| !time.note.is_empty()) {
        eprintln!("note: {}: {}", time.local, time.note);
    }
    Ok(())
}
