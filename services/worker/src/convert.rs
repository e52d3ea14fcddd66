//! Between the contract's messages and the words of `nexus-tasks`.

use std::time::Duration;

use nexus_api::common::v1::{Failure as ApiFailure, FailureKind as ApiKind};
use nexus_api::execution::v1::{LogLine as ApiLine, log_line};
use nexus_api::time::{duration, duration_micros, timestamp};
use nexus_api::worker::v1::{Cancelled, Released, Succeeded, TaskReport, task_report};
use nexus_tasks::{Failure, FailureKind, LogLine, LogStream, Outcome};

/// What to report about an attempt.
pub(crate) fn report(token: &str, outcome: Outcome) -> TaskReport {
    let outcome = match outcome {
        Outcome::Succeeded(output) => task_report::Outcome::Succeeded(Succeeded { output }),
        Outcome::Failed(failure) => task_report::Outcome::Failed(failed(failure)),
        Outcome::Cancelled => task_report::Outcome::Cancelled(Cancelled {}),
    };
    TaskReport {
        token: token.to_owned(),
        outcome: Some(outcome),
    }
}

/// Gives an attempt back; `not_started` when nothing of the task has run.
pub(crate) fn released(token: &str, reason: &str, not_started: bool) -> TaskReport {
    TaskReport {
        token: token.to_owned(),
        outcome: Some(task_report::Outcome::Released(Released {
            reason: reason.to_owned(),
            not_started,
        })),
    }
}

fn failed(failure: Failure) -> ApiFailure {
    let kind = match failure.kind {
        FailureKind::User => ApiKind::User,
        FailureKind::Timeout => ApiKind::Timeout,
        FailureKind::Infrastructure => ApiKind::Infrastructure,
    };
    ApiFailure {
        r#type: failure.error_type,
        message: failure.message,
        stack_trace: failure.stack_trace,
        non_retryable: failure.non_retryable,
        next_retry_delay: failure
            .next_retry_delay
            .map(|delay| duration(i64::try_from(delay.as_micros()).unwrap_or(i64::MAX))),
        details: failure.details.map(|details| details.to_string()).unwrap_or_default(),
        kind: kind.into(),
    }
}

/// A line as the contract has it.
pub(crate) fn line(line: LogLine) -> ApiLine {
    let stream = match line.stream {
        LogStream::Stdout => log_line::Stream::Stdout,
        LogStream::Stderr => log_line::Stream::Stderr,
        LogStream::System => log_line::Stream::System,
    };
    ApiLine {
        time: Some(timestamp(line.time_micros)),
        stream: stream.into(),
        text: line.text,
        ..ApiLine::default()
    }
}

/// A positive span of the contract; `fallback` when it is absent or makes no sense.
pub(crate) fn span(span: Option<&prost_types::Duration>, fallback: Duration) -> Duration {
    span.and_then(|span| u64::try_from(duration_micros(span)).ok())
        .filter(|micros| *micros > 0)
        .map_or(fallback, Duration::from_micros)
}
