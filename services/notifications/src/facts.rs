//! What texts and conditions can see of a notice: a JSON object. Pure.

use nexus_api::execution::v1::execution;
use nexus_api::notifications::v1::{Event, Notice};
use prost_types::Timestamp;
use serde_json::{Value, json};

/// The names that texts know.
pub(crate) const TEXT: &[&str] = &[
    "event",
    "execution",
    "workflow",
    "task",
    "error",
    "link",
    "count",
    "others",
];

/// An event in words: `failed`.
pub(crate) fn event_name(event: Event) -> String {
    event.as_str_name().to_ascii_lowercase()
}

/// A state in words: `FAILED`.
pub(crate) fn state_name(state: i32) -> &'static str {
    execution::State::try_from(state).map_or("", |state| match state {
        execution::State::Unspecified => "",
        state => state.as_str_name(),
    })
}

/// A point in time as people read it, in UTC.
pub(crate) fn point(time: Option<&Timestamp>) -> String {
    let Some(time) = time else { return String::new() };
    let micros = nexus_api::time::micros(time);
    jiff::Timestamp::from_microsecond(micros)
        .map(|time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
        .unwrap_or_default()
}

/// A length of time as people read it: `1h 2m`, `3.4s`.
pub(crate) fn length(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    match seconds {
        ..=59 => format!("{}.{}s", seconds.max(0), (micros.max(0) / 100_000) % 10),
        60..=3_599 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// How long an execution took, or has taken up to the event; nothing when it never began.
pub(crate) fn took(notice: &Notice) -> Option<i64> {
    let start = nexus_api::time::micros(notice.start_time.as_ref()?);
    let end = nexus_api::time::micros(notice.finish_time.as_ref().or(notice.time.as_ref())?);
    Some((end - start).max(0))
}

/// The object. `link` leads people to the execution.
pub(crate) fn facts(notice: &Notice, link: &str) -> Value {
    let error = notice.error.clone().unwrap_or_default();
    let labels: std::collections::BTreeMap<_, _> = notice.labels.iter().collect();
    let others: Vec<Value> = notice
        .others
        .iter()
        .map(|other| {
            json!({
                "execution": other.execution, "workflow": other.workflow, "task": other.task,
                "message": other.message, "time": point(other.time.as_ref()),
            })
        })
        .collect();
    json!({
        "event": {
            "type": event_name(notice.event()), "time": point(notice.time.as_ref()),
            "limit": notice.limit.as_ref().map(|limit| length(nexus_api::time::duration_micros(limit))),
        },
        "execution": {
            "id": notice.execution, "namespace": notice.namespace, "state": state_name(notice.state),
            "labels": labels, "cancel_reason": notice.cancel_reason,
            "duration": took(notice).map(length),
            "duration_seconds": took(notice).map(|micros| micros / 1_000_000),
            "start_time": point(notice.start_time.as_ref()), "finish_time": point(notice.finish_time.as_ref()),
        },
        "workflow": {"name": notice.workflow, "revision": notice.revision},
        "task": {"id": notice.task, "attempt": notice.attempt, "next_attempt_time": point(notice.next_attempt_time.as_ref())},
        "error": {"type": error.r#type, "message": error.message, "stack_trace": error.stack_trace},
        "link": link,
        "count": notice.count.max(1),
        "others": others,
    })
}
