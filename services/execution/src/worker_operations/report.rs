//! Records how attempts ended.

use nexus_api::error::ApiError;
use nexus_api::worker::v1::{
    ReportResult, ReportTasksRequest, ReportTasksResponse, TaskReport, report_result, task_report,
};
use nexus_engine::{Failure, FailureKind, Outcome, Output};
use nexus_mesh::failpoint::kill_here;
use serde::de::IgnoredAny;
use tonic::Status;

use super::{MAX_OUTPUT, at_most, lease, session};
use crate::Context;
use crate::convert::failure_from;
use crate::error::status;

/// Bytes that are kept of a failure's message, stack trace and details.
const MAX_MESSAGE: usize = 4 << 10;
const MAX_STACK_TRACE: usize = 16 << 10;

pub(crate) async fn report(context: &Context, request: ReportTasksRequest) -> Result<ReportTasksResponse, Status> {
    at_most("reports", request.reports.len())?;
    let session = session(context, &request.session)?;
    let mut problems = Vec::with_capacity(request.reports.len());
    let mut tokens = Vec::with_capacity(request.reports.len());
    let mut outcomes = Vec::with_capacity(request.reports.len());
    for report in request.reports {
        let token = report.token.clone();
        let (outcome, problem) = outcome(report)?;
        problems.push(problem);
        tokens.push(token.clone());
        outcomes.push((token, outcome));
    }
    kill_here("execution::report::received");
    let reported = context
        .owner
        .report(outcomes, session.clone(), request.free_slots)
        .await
        .map_err(status)?;
    kill_here("execution::report::committed");
    let results = tokens
        .into_iter()
        .zip(problems)
        .zip(reported.accepted)
        .map(|((token, problem), accepted)| {
            use report_result::Status::{Accepted, Invalid, Stale};
            let (status, message) = match (accepted, problem) {
                (false, _) => (Stale, "the attempt is no longer current; nothing changed".to_owned()),
                (true, Some(problem)) => (Invalid, problem),
                (true, None) => (Accepted, String::new()),
            };
            ReportResult {
                token,
                status: status.into(),
                message,
            }
        });
    let results = results.collect();
    let tasks = lease::prepare(context, reported.granted, &session).await;
    Ok(ReportTasksResponse { results, tasks })
}

/// A report in the engine's words. An output that cannot be taken makes the attempt fail: it has ended, and another
/// attempt would give the same.
fn outcome(report: TaskReport) -> Result<(Outcome, Option<String>), Status> {
    use task_report::Outcome as Reported;
    let Some(outcome) = report.outcome else {
        return Err(ApiError::field("reports.outcome", "must say how the attempt ended").into());
    };
    Ok(match outcome {
        Reported::Succeeded(succeeded) => match check_output(&succeeded.output) {
            Ok(text) => (Outcome::Succeeded(Output::new(text)), None),
            Err(failure) => {
                let problem = failure.message.clone();
                (Outcome::Failed(failure), Some(problem))
            }
        },
        Reported::Failed(failure) => (Outcome::Failed(bounded(failure_from(failure))), None),
        Reported::Cancelled(_) => (Outcome::Cancelled, None),
        Reported::Released(released) => {
            let reason = cut(released.reason, MAX_MESSAGE);
            let not_started = released.not_started;
            (Outcome::Released { reason, not_started }, None)
        }
    })
}

fn check_output(text: &str) -> Result<&str, Failure> {
    let refuse = |error_type: &str, message: String| {
        let failure = Failure::new(FailureKind::User, error_type, message);
        Failure {
            non_retryable: true,
            ..failure
        }
    };
    if text.is_empty() {
        return Ok("null");
    }
    if text.len() > MAX_OUTPUT {
        let message = format!(
            "the output has {} bytes, at most {MAX_OUTPUT} are taken; store it elsewhere and return where it is",
            text.len()
        );
        return Err(refuse("OutputTooLarge", message));
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(text),
        Err(error) => Err(refuse("InvalidOutput", format!("the output is no JSON: {error}"))),
    }
}

fn bounded(failure: Failure) -> Failure {
    Failure {
        error_type: cut(failure.error_type, 256),
        message: cut(failure.message, MAX_MESSAGE),
        stack_trace: cut(failure.stack_trace, MAX_STACK_TRACE),
        details: if failure.details.len() > MAX_MESSAGE {
            String::new()
        } else {
            failure.details
        },
        ..failure
    }
}

/// The beginning of a text, at a character's end, without NUL characters (Postgres takes none).
fn cut(text: String, most: usize) -> String {
    let mut text = if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text
    };
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - 4));
        text.push_str(" ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_checked_at_the_limit() {
        let fits = format!("\"{}\"", "a".repeat(MAX_OUTPUT - 2));
        assert!(check_output(&fits).is_ok());
        let over = format!("\"{}\"", "a".repeat(MAX_OUTPUT - 1));
        assert_eq!(check_output(&over).expect_err("too large").error_type, "OutputTooLarge");
        assert_eq!(check_output("{").expect_err("no JSON").error_type, "InvalidOutput");
        assert_eq!(check_output(""), Ok("null"));
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let text = cut("ü".repeat(3_000), MAX_MESSAGE);
        assert!(text.len() <= MAX_MESSAGE && text.ends_with(" ..."));
        assert_eq!(cut("a\0b".into(), 10), "a\u{fffd}b");
    }
}
