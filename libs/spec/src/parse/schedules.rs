//! Reads when the workflow starts by itself.

#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use nexus_schedule::{Plan, Spec, SpecError, Zone};

use super::reader::{Fields, Path, Shape, entries, fields};
use super::shared::description;
use super::values::Values;
use crate::codes;
use crate::findings::{Finding, Findings};
use crate::model::schedule::{DayMatch, DstPolicy, Schedule};
use crate::source::{Data, Node, Place};

const SCHEDULE: Shape = Shape {
    name: "a schedule",
    keys: &[
        "description",
        "cron",
        "every",
        "at",
        "exclude",
        "timezone",
        "dst_policy",
        "day_match",
        "start",
        "end",
        "jitter",
        "params",
        "overlap",
        "catchup",
        "catchup_window",
        "pause_on_failure",
        "paused",
    ],
    missing: &[],
};
/// The same, where it stands in a list and says its name itself.
const NAMED: Shape = Shape {
    name: "a schedule",
    keys: &[
        "name",
        "description",
        "cron",
        "every",
        "at",
        "exclude",
        "timezone",
        "dst_policy",
        "day_match",
        "start",
        "end",
        "jitter",
        "params",
        "overlap",
        "catchup",
        "catchup_window",
        "pause_on_failure",
        "paused",
    ],
    missing: &[],
};
const OVERLAPS: &[&str] = &["skip", "buffer_one", "buffer_all", "cancel_other", "allow_all"];
const MAX_SCHEDULES: usize = 100;
const LEAST_WINDOW: i64 = 10_000_000;

/// Reads the schedules: a map from names, or a list.
pub(super) fn read(root: &Fields<'_>, findings: &mut Findings) -> IndexMap<String, Schedule> {
    let Some(node) = root.value("schedules") else {
        return IndexMap::new();
    };
    let path = Path::ROOT;
    let path = path.then("schedules");
    let named: Vec<(String, Place, &Node)> = match &node.data {
        Data::List(items) => (1..).zip(items).map(|(number, item)| named(number, item)).collect(),
        _ => match entries(node, "schedules", path, findings) {
            Some(all) => all
                .iter()
                .map(|entry| (entry.key.clone(), entry.place, &entry.value))
                .collect(),
            None => return IndexMap::new(),
        },
    };
    if named.len() > MAX_SCHEDULES {
        let message = format!(
            "there are {} schedules; a workflow has at most {MAX_SCHEDULES}",
            named.len()
        );
        findings.add(Finding::error(codes::TOO_LONG, node.place, message).path(path.to_string()));
        return IndexMap::new();
    }
    let mut schedules = IndexMap::new();
    let shape = if matches!(node.data, Data::List(_)) {
        &NAMED
    } else {
        &SCHEDULE
    };
    for (index, (name, place, node)) in named.into_iter().enumerate() {
        let index = index.to_string();
        let path = path.then(if shape.keys.len() == NAMED.keys.len() {
            &index
        } else {
            &name
        });
        let Some(fields) = fields(node, shape, path, findings) else {
            continue;
        };
        let mut values = Values {
            fields: &fields,
            path,
            findings,
        };
        if values.check_id("schedule's name", &name, place, path.to_string())
            && let Some(schedule) = one(&mut values, node.place)
            && schedules.insert(name.clone(), schedule).is_some()
        {
            let message = format!("the schedule {name:?} is there twice");
            findings.add(Finding::error(codes::DUPLICATE_KEY, place, message).path(path.to_string()));
        }
    }
    schedules
}

/// An entry of a list: by the name that it says, or by its number.
fn named(number: usize, node: &Node) -> (String, Place, &Node) {
    let entry = node.get("name");
    match entry.and_then(|entry| entry.value.text().map(|text| (text, entry.value.place))) {
        Some((name, place)) => (name.to_owned(), place, node),
        None => (format!("schedule_{number}"), node.place, node),
    }
}

fn one(values: &mut Values<'_, '_>, place: Place) -> Option<Schedule> {
    let schedule = Schedule {
        description: description(values),
        cron: one_or_many(values, "cron"),
        every: values.positive_span("every"),
        at: one_or_many(values, "at"),
        exclude: one_or_many(values, "exclude"),
        timezone: values.text("timezone").unwrap_or_default().to_owned(),
        dst_policy: values.word("dst_policy", &["adjust", "literal"]),
        day_match: values.word("day_match", &["or", "and"]),
        start: values.text("start").unwrap_or_default().to_owned(),
        end: values.text("end").unwrap_or_default().to_owned(),
        jitter: values.positive_span("jitter"),
        params: values.map("params"),
        overlap: values.word("overlap", OVERLAPS),
        catchup: values.word("catchup", &["all", "last", "none"]),
        catchup_window: values.span("catchup_window"),
        pause_on_failure: values.flag("pause_on_failure"),
        paused: values.flag("paused"),
    };
    if schedule
        .catchup_window
        .is_some_and(|window| window.micros() < LEAST_WINDOW)
    {
        let place = values.fields.value("catchup_window").map_or(place, |node| node.place);
        let message = "catchup_window must be at least 10s";
        values.say("catchup_window", Finding::error(codes::OUT_OF_BOUNDS, place, message));
    }
    check(values, &schedule, place).then_some(schedule)
}

/// Each expression by itself, so that each fault is told where it stands; then all of it.
fn check(values: &mut Values<'_, '_>, schedule: &Schedule, place: Place) -> bool {
    let zone = match Zone::named(&schedule.timezone) {
        Ok(zone) => zone,
        Err(error) => {
            say(values, "timezone", place, &SpecError::from(error));
            return false;
        }
    };
    let mut good = true;
    for key in ["start", "end"] {
        let text = if key == "start" { &schedule.start } else { &schedule.end };
        if !text.is_empty() && zone.moment(text).is_none() {
            good = false;
            let place = values.fields.value(key).map_or(place, |node| node.place);
            let finding = Finding::error(codes::BAD_SCHEDULE, place, format!("{text:?} is not a time"));
            values.say(
                key,
                finding.fix("write it like 2026-03-29T09:00:00+02:00, or 2026-03-29"),
            );
        }
    }
    let whole = spec(schedule);
    for (key, expressions) in [("cron", &schedule.cron), ("exclude", &schedule.exclude)] {
        for expression in expressions {
            let alone = Spec {
                crons: vec![expression.clone()],
                timezone: whole.timezone.clone(),
                ..Spec::default()
            };
            if let Err(error) = Plan::of(&alone) {
                good = false;
                say(values, key, place, &error);
            }
        }
    }
    if good && let Err(error) = Plan::of(&whole) {
        good = false;
        let key = if matches!(error, SpecError::Field { .. }) {
            "at"
        } else {
            "cron"
        };
        say(values, key, place, &error);
    }
    good
}

/// What a schedule of a file means, as far as times go.
pub(crate) fn spec(schedule: &Schedule) -> Spec {
    let zone = Zone::named(&schedule.timezone).ok();
    let moment = |text: &String| zone.as_ref().and_then(|zone| zone.moment(text));
    let every = schedule.every.map(|every| nexus_schedule::Interval {
        every: every.micros(),
        phase: 0,
    });
    Spec {
        crons: schedule.cron.clone(),
        intervals: every.into_iter().collect(),
        times: schedule.at.clone(),
        exclude_crons: schedule.exclude.clone(),
        start: moment(&schedule.start),
        end: moment(&schedule.end),
        jitter: schedule.jitter.map_or(0, crate::duration::Span::micros),
        timezone: schedule.timezone.clone(),
        dst_policy: match schedule.dst_policy {
            Some(DstPolicy::Literal) => nexus_schedule::DstPolicy::Literal,
            _ => nexus_schedule::DstPolicy::Adjust,
        },
        day_match: match schedule.day_match {
            Some(DayMatch::And) => nexus_schedule::DayMatch::And,
            _ => nexus_schedule::DayMatch::Or,
        },
        ..Spec::default()
    }
}

fn say(values: &mut Values<'_, '_>, key: &str, place: Place, error: &SpecError) {
    let place = values.fields.value(key).map_or(place, |node| node.place);
    let (message, fix) = match error {
        SpecError::Cron(cron) => {
            let field = cron
                .field
                .map(|field| format!(" ({})", field.name()))
                .unwrap_or_default();
            let message = format!(
                "{:?}, character {}{field}: {}",
                cron.expression, cron.position, cron.problem
            );
            (message, Some(cron.help.clone()).filter(|help| !help.is_empty()))
        }
        SpecError::Zone(zone) => {
            let message = format!("{:?} is not a time zone", zone.name);
            let near = zone.near.as_ref().map(|near| format!("did you mean {near}?"));
            (
                message,
                near.or_else(|| Some("zones are named as the IANA has them, such as Europe/Berlin".to_owned())),
            )
        }
        SpecError::Empty => (
            "a schedule says when it fires".to_owned(),
            Some("add cron, every or at, such as cron: \"0 9 * * mon-fri\"".to_owned()),
        ),
        other => (other.to_string(), None),
    };
    values.say(key, Finding::error(codes::BAD_SCHEDULE, place, message).maybe_fix(fix));
}

/// A text, or a list of texts.
fn one_or_many(values: &mut Values<'_, '_>, key: &str) -> Vec<String> {
    match values.fields.value(key).map(|node| &node.data) {
        None => Vec::new(),
        Some(Data::List(_)) => values.texts(key).into_iter().map(|(text, _)| text.to_owned()).collect(),
        Some(_) => values.text(key).map(str::to_owned).into_iter().collect(),
    }
}
