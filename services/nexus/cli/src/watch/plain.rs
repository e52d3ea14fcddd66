//! Events and failures as one line of text. Pure.

use nexus_api::common::v1::Failure;
use nexus_api::execution::v1::Event;
use nexus_api::execution::v1::event::Type;
use nexus_cli_frame::{table, time};

/// An event as one line: when, what, how, why.
pub(crate) fn event(event: &Event) -> String {
    let mut line = time::point(event.time.as_ref());
    let subject = if event.task.is_empty() {
        "execution"
    } else {
        &event.task
    };
    line.push_str(&format!(" {subject} {}", what(event)));
    if event.attempt > 0 {
        line.push_str(&format!(" attempt {}", event.attempt));
    }
    if !event.worker.is_empty() {
        line.push_str(&format!(" on {}", event.worker));
    }
    if let Some(error) = &event.error {
        line.push_str(&format!(": {}", table::cut(&failure(error), 200)));
    }
    if event.next_attempt_time.is_some() {
        line.push_str(&format!(
            "; next attempt at {}",
            time::point(event.next_attempt_time.as_ref())
        ));
    }
    if !event.message.is_empty() {
        line.push_str(&format!(" ({})", table::cut(&event.message, 200)));
    }
    line
}

/// What happened, in the words of the states.
fn what(event: &Event) -> &'static str {
    match event.r#type() {
        Type::ExecutionCreated => "PENDING",
        Type::ExecutionStarted => "RUNNING",
        Type::ExecutionCancelling => "CANCELLING",
        Type::ExecutionFinished => event.execution_state().as_str_name(),
        Type::TaskScheduled => "SCHEDULED",
        Type::TaskStarted => "RUNNING",
        Type::TaskRetrying => "RETRYING",
        Type::TaskLost => "LOST",
        Type::TaskFinished => event.task_state().as_str_name(),
        Type::Unspecified => "EVENT",
    }
}

/// A failure as one line.
pub(crate) fn failure(failure: &Failure) -> String {
    let message = failure.message.lines().next().unwrap_or_default();
    match (failure.r#type.is_empty(), message.is_empty()) {
        (true, _) => message.to_owned(),
        (false, true) => failure.r#type.clone(),
        (false, false) => format!("{}: {message}", failure.r#type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_when_what_and_why() {
        let mut value = Event {
            time: Some(nexus_api::time::timestamp(0)),
            task: "clean".into(),
            attempt: 1,
            error: Some(Failure {
                r#type: "ValueError".into(),
                message: "bad rows\nmore".into(),
                ..Failure::default()
            }),
            next_attempt_time: Some(nexus_api::time::timestamp(2_000_000)),
            ..Event::default()
        };
        value.set_type(Type::TaskRetrying);
        assert_eq!(
            event(&value),
            "1970-01-01T00:00:00Z clean RETRYING attempt 1: ValueError: bad rows; next attempt at 1970-01-01T00:00:02Z"
        );
    }
}
