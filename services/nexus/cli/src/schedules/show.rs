//! Schedules, fires and backfills on the terminal.

use nexus_api::scheduling::v1 as api;
use nexus_cli_frame::{CliError, Output, output, table, time};

use super::{BACKFILL, SCHEDULE};

pub(super) fn schedules(list: &[api::Schedule], token: &str, output: &Output) -> Result<(), CliError> {
    let row = |schedule: &api::Schedule| {
        let info = schedule.info.clone().unwrap_or_default();
        vec![
            schedule.name.clone(),
            schedule.workflow.clone(),
            table::cut(&when(schedule), 40),
            if schedule.paused {
                "paused".to_owned()
            } else {
                "on".to_owned()
            },
            time::point(info.future_action_times.first()),
            info.action_count.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = list.iter().map(row).collect();
    let heads = ["SCHEDULE", "WORKFLOW", "WHEN", "STATE", "NEXT", "ACTIONS"];
    output.raw(&table::render(&heads, &rows))?;
    output::more(token);
    Ok(())
}

/// When a schedule fires, in short.
fn when(schedule: &api::Schedule) -> String {
    let spec = schedule.spec.clone().unwrap_or_default();
    let mut parts = spec.crons;
    let every = |interval: &api::IntervalSpec| {
        let every = interval.every.as_ref().map(nexus_api::time::duration_micros);
        format!("every {}", time::span(every.unwrap_or_default()))
    };
    parts.extend(spec.intervals.iter().map(every));
    if !spec.calendars.is_empty() {
        parts.push(format!("{} calendars", spec.calendars.len()));
    }
    if !spec.times.is_empty() {
        parts.push(format!("{} single times", spec.times.len()));
    }
    let zone = if spec.timezone.is_empty() {
        String::new()
    } else {
        format!(" ({})", spec.timezone)
    };
    parts.join(", ") + &zone
}

/// `, next at …`.
pub(super) fn next_of(schedule: &api::Schedule) -> String {
    let next = schedule.info.as_ref().and_then(|info| info.future_action_times.first());
    next.map(|next| format!(", next at {next}")).unwrap_or_default()
}

pub(super) fn schedule(schedule: &api::Schedule, output: &Output) -> Result<(), CliError> {
    if !output.is_table() {
        return output.message(schedule, SCHEDULE);
    }
    let info = schedule.info.clone().unwrap_or_default();
    let policies = schedule.policies.unwrap_or_default();
    let word = |text: &str, prefix: &str| text.trim_start_matches(prefix).to_ascii_lowercase();
    let facts = [
        ("schedule", schedule.name.clone()),
        ("description", schedule.description.clone()),
        ("workflow", schedule.workflow.clone()),
        ("when", when(schedule)),
        ("params", schedule.params.clone()),
        ("overlap", word(policies.overlap().as_str_name(), "OVERLAP_POLICY_")),
        ("catch-up", word(policies.catchup().as_str_name(), "CATCHUP_POLICY_")),
        ("state", if schedule.paused { "paused" } else { "on" }.to_owned()),
        ("note", schedule.note.clone()),
        ("file of", schedule.owner.clone()),
        ("actions", info.action_count.to_string()),
        (
            "left",
            schedule
                .remaining_actions
                .map(|left| left.to_string())
                .unwrap_or_default(),
        ),
        ("too late", info.missed_catchup_window.to_string()),
        ("overlapped", info.overlap_skipped.to_string()),
        ("failed", info.start_failed.to_string()),
        ("waiting", info.buffer_size.to_string()),
        ("running", info.running_executions.join(" ")),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        output.line(&format!("{name:<12} {value}"))?;
    }
    for next in &info.future_action_times {
        output.line(&format!("{:<12} {next}", "next"))?;
    }
    if !info.recent_actions.is_empty() {
        output.line("")?;
        fires(&info.recent_actions, "", output)?;
    }
    Ok(())
}

pub(super) fn fires(list: &[api::Fire], token: &str, output: &Output) -> Result<(), CliError> {
    let row = |fire: &api::Fire| {
        vec![
            time::point(fire.nominal_time.as_ref()),
            fire.outcome().as_str_name().to_owned(),
            fire.execution.clone(),
            fire.execution_state.clone(),
            table::cut(&fire.source, 20),
            table::cut(&fire.reason, 80),
        ]
    };
    let rows: Vec<Vec<String>> = list.iter().map(row).collect();
    let heads = ["TIME", "OUTCOME", "EXECUTION", "STATE", "SOURCE", "REASON"];
    output.raw(&table::render(&heads, &rows))?;
    output::more(token);
    Ok(())
}

pub(super) fn backfills(list: &[api::Backfill], token: &str, output: &Output) -> Result<(), CliError> {
    if !output.is_table() {
        let page = output::page("backfills", list, BACKFILL, token)?;
        return output.value(&page);
    }
    let row = |backfill: &api::Backfill| {
        vec![
            backfill.id.clone(),
            backfill.schedule.clone(),
            backfill.state().as_str_name().to_owned(),
            format!("{}/{}", backfill.fired, backfill.total),
            backfill.running.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = list.iter().map(row).collect();
    let heads = ["BACKFILL", "SCHEDULE", "STATE", "STARTED", "RUNNING"];
    output.raw(&table::render(&heads, &rows))?;
    output::more(token);
    Ok(())
}
