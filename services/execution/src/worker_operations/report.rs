//! Records how attempts ended.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use nexus_api::error::ApiError;
use nexus_api::json::too_deep;
use nexus_api::shard::v1::ReportLeasesRequest;
use nexus_api::worker::v1::{
    LeasedTask, Released, ReportResult, ReportTasksRequest, ReportTasksResponse, TaskReport, report_result, task_report,
};
use nexus_engine::{Failure, FailureKind, LONGEST_ASKED_WAIT, Outcome, Output};
use nexus_execution_owner::{Acceptance, SessionRef};
use nexus_execution_store::{LeaseToken, shard_of_token};
use nexus_failpoint::kill_here;
use nexus_spec::Span;
use serde::de::IgnoredAny;
use tonic::Status;

use super::{MAX_OUTPUT, at_most, lease, session, shared, split};
use crate::Context;
use crate::convert::failure_from;
use crate::error::status;
use crate::replication::{Peer, is_not_owner, request};
use crate::results;
use nexus_execution_sessions::speaker::Speaker;

/// How long another replica may take to record.
const CALL: Duration = Duration::from_secs(10);

/// Free slots that count: no worker registers with more.
const MOST_FREE: u32 = 10_000;

/// Bytes that are kept of a failure's message, stack trace and details.
const MAX_MESSAGE: usize = 4 << 10;
const MAX_STACK_TRACE: usize = 16 << 10;

/// Records reports, each at the replica that owns its shard.
pub(crate) async fn report(
    context: &Context,
    speaker: &Speaker,
    request: ReportTasksRequest,
) -> Result<ReportTasksResponse, Status> {
    at_most("reports", request.reports.len())?;
    let session = session(context, speaker, &request.session)?;
    if request.reports.iter().any(|report| report.outcome.is_none()) {
        return Err(ApiError::field("reports.outcome", "must say how the attempt ended").into());
    }
    kill_here("execution::report::received");
    let mut answers = Answers {
        results: vec![None; request.reports.len()],
        tasks: Vec::new(),
        free: request.free_slots.min(MOST_FREE),
    };
    let mut waiting: Vec<(usize, TaskReport)> = request.reports.into_iter().enumerate().collect();
    let mut route = None;
    loop {
        send(context, waiting.clone(), &session, &mut answers).await?;
        waiting.retain(|(place, _)| answers.results[*place].is_none());
        // What is left has to be told to whoever owns its shard next.
        let Some((_, report)) = waiting.first() else { break };
        let shard = shard_of_token(&report.token).unwrap_or_default();
        route.get_or_insert_with(|| context.router.route(shard)).next().await?;
    }
    kill_here("execution::report::committed");
    Ok(ReportTasksResponse {
        results: answers.results.into_iter().flatten().collect(),
        tasks: answers.tasks,
    })
}

/// Gives leases back of which their worker has not heard. Nobody waits for it: what is not taken back ends with its
/// lease.
pub(super) async fn give_back(context: &Context, session: &SessionRef, tokens: Vec<String>) {
    let released = |token: String| TaskReport {
        token,
        outcome: Some(task_report::Outcome::Released(Released {
            reason: "the worker was gone before it heard of the task".to_owned(),
            not_started: true,
        })),
    };
    let reports: Vec<_> = tokens.into_iter().map(released).enumerate().collect();
    if reports.is_empty() {
        return;
    }
    let mut answers = Answers {
        results: vec![None; reports.len()],
        tasks: Vec::new(),
        free: 0,
    };
    if let Err(error) = send(context, reports, session, &mut answers).await {
        tracing::debug!(error = %error.message(), "leases that were not heard of were not taken back");
    }
}

/// What has become of reports so far.
struct Answers {
    /// By the report's place; none for those whose owner was not found yet.
    results: Vec<Option<ReportResult>>,
    tasks: Vec<LeasedTask>,
    free: u32,
}

/// One round: tells each owner that is known.
async fn send(
    context: &Context,
    reports: Vec<(usize, TaskReport)>,
    session: &SessionRef,
    answers: &mut Answers,
) -> Result<(), Status> {
    let (mine, theirs) = split(context, reports, |(_, report)| shard_of_token(&report.token));
    let groups = usize::from(!mine.is_empty()) + theirs.len();
    // One owner may fill every slot; several fill as many as their reports free.
    let mut slots = |reports: usize| {
        let some = u32::try_from(reports).unwrap_or(u32::MAX);
        let share = if groups == 1 {
            answers.free
        } else {
            answers.free.min(some)
        };
        answers.free -= share;
        share
    };
    let shares: Vec<u32> = theirs.iter().map(|(_, group)| slots(group.len())).collect();
    let (my_places, mine): (Vec<usize>, Vec<TaskReport>) = mine.into_iter().unzip();
    let share = slots(mine.len());
    let local = async {
        if mine.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        local(context, mine, session, share).await
    };
    let asked = theirs.into_iter().zip(shares).map(|((peer, group), share)| async move {
        let (places, reports): (Vec<usize>, Vec<TaskReport>) = group.into_iter().unzip();
        let shard = reports.first().and_then(|report| shard_of_token(&report.token));
        let call = remote(&peer, reports, session, share);
        (places, context.router.ask(shard.unwrap_or_default(), &peer, call).await)
    });
    let (local, others) = tokio::join!(local, join_all(asked));
    for (places, answer) in std::iter::once((my_places, local)).chain(others) {
        match answer {
            Ok((results, tasks)) => {
                answers.tasks.extend(tasks);
                for (place, result) in places.into_iter().zip(results) {
                    answers.results[place] = result;
                }
            }
            Err(status) if is_not_owner(&status) => {}
            Err(status) => return Err(status),
        }
    }
    Ok(())
}

/// Answers to reports in their order, none for those of other owners, and what they freed.
type Answer = (Vec<Option<ReportResult>>, Vec<LeasedTask>);

/// Records reports of leases whose shards this replica owns.
pub(crate) async fn local(
    context: &Context,
    reports: Vec<TaskReport>,
    session: &SessionRef,
    free_slots: u32,
) -> Result<Answer, Status> {
    let mut problems = Vec::with_capacity(reports.len());
    let mut outcomes = Vec::with_capacity(reports.len());
    for report in reports {
        let token = LeaseToken::from(report.token.as_str());
        let (outcome, problem) = outcome(report)?;
        problems.push((token.clone(), problem));
        outcomes.push((token, outcome));
    }
    let reported = context.owner.report(outcomes, session.clone(), free_slots).await;
    let reported = reported.map_err(status)?;
    for cacheable in reported.cacheable {
        // Nobody waits for it.
        let results = Arc::clone(&context.results);
        tokio::spawn(async move { results::keep(results.as_ref(), cacheable).await });
    }
    let results = problems.into_iter().zip(reported.accepted);
    let results = results.map(|((token, problem), accepted)| result(token, problem, accepted));
    let results = results.collect();
    Ok((results, lease::prepare(context, reported.granted, session).await))
}

async fn remote(
    peer: &Peer,
    reports: Vec<TaskReport>,
    session: &SessionRef,
    free_slots: u32,
) -> Result<Answer, Status> {
    let report = ReportLeasesRequest {
        session: Some(shared(session)),
        reports,
        free_slots,
    };
    let answer = peer.client().report_leases(request(report, CALL)).await?.into_inner();
    let known = |result: ReportResult| (result.status() != report_result::Status::Unspecified).then_some(result);
    Ok((answer.results.into_iter().map(known).collect(), answer.tasks))
}

fn result(token: LeaseToken, problem: Option<String>, accepted: Acceptance) -> Option<ReportResult> {
    use report_result::Status::{Accepted, Invalid, Stale};
    let (status, message) = match (accepted, problem) {
        (Acceptance::NotOwner, _) => return None,
        (Acceptance::Stale, _) => (Stale, "the attempt is no longer current; nothing changed".to_owned()),
        (Acceptance::Recorded, Some(problem)) => (Invalid, problem),
        (Acceptance::Recorded, None) => (Accepted, String::new()),
    };
    Some(ReportResult {
        token: String::from(token),
        status: status.into(),
        message,
    })
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
    if let Some(problem) = too_deep(text) {
        return Err(refuse(
            "InvalidOutput",
            format!("the output {problem}; return it flatter, or as a text"),
        ));
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(text),
        Err(error) => Err(refuse(
            "InvalidOutput",
            format!("the output is not valid JSON: {error}"),
        )),
    }
}

fn bounded(failure: Failure) -> Failure {
    let (next_retry_delay, cut_delay) = asked_wait(failure.next_retry_delay);
    let room = MAX_MESSAGE - cut_delay.len();
    Failure {
        next_retry_delay,
        error_type: cut(failure.error_type, 256),
        message: cut(failure.message, room) + &cut_delay,
        stack_trace: cut(failure.stack_trace, MAX_STACK_TRACE),
        details: if failure.details.len() > MAX_MESSAGE {
            String::new()
        } else {
            failure.details
        },
        ..failure
    }
}

/// The wait that a worker asks for before the next attempt, within bounds, and what its failure says of it when that is
/// not the wait it asked for. Refusing the report would lose how the attempt ended.
fn asked_wait(asked: Option<i64>) -> (Option<i64>, String) {
    let Some(asked) = asked else {
        return (None, String::new());
    };
    let wait = asked.clamp(0, LONGEST_ASKED_WAIT);
    let note = match asked {
        _ if asked == wait => String::new(),
        ..0 => " (next_retry_delay was negative and is taken for 0s)".to_owned(),
        _ => format!(
            " (next_retry_delay was {} and is cut to {}, the longest that a worker may ask for; without one the task's \
             retry policy decides)",
            Span::from_micros(asked),
            Span::from_micros(LONGEST_ASKED_WAIT)
        ),
    };
    (Some(wait), note)
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
        let nested = |deep: usize| format!("{}1{}", "[".repeat(deep), "]".repeat(deep));
        assert!(check_output(&nested(nexus_api::json::MAX_DEPTH)).is_ok());
        for over in [nexus_api::json::MAX_DEPTH + 1, 5_000] {
            let failure = check_output(&nested(over)).expect_err("too deep");
            assert_eq!(
                (failure.error_type.as_str(), failure.non_retryable),
                ("InvalidOutput", true)
            );
            assert!(
                failure.message.contains(&format!("nested {over} deep, at most 100")),
                "{}",
                failure.message
            );
        }
        assert_eq!(check_output("{").expect_err("no JSON").error_type, "InvalidOutput");
        assert_eq!(check_output(""), Ok("null"));
    }

    #[test]
    fn a_wait_that_a_worker_asks_for_is_bounded_and_told() {
        let most = LONGEST_ASKED_WAIT;
        let told = |asked| {
            let failure = Failure::new(FailureKind::User, "E", "m".repeat(MAX_MESSAGE));
            let failure = bounded(Failure {
                next_retry_delay: Some(asked),
                ..failure
            });
            assert!(failure.message.len() <= MAX_MESSAGE);
            let note = failure.message.split_once(" (").map_or("", |(_, note)| note).to_owned();
            (failure.next_retry_delay, note)
        };
        for fits in [0, 1, most - 1, most] {
            assert_eq!(told(fits), (Some(fits), String::new()));
        }
        let (wait, note) = told(most + 1);
        assert_eq!(wait, Some(most));
        assert!(
            note.starts_with("next_retry_delay was 7d1us and is cut to 7d"),
            "{note}"
        );
        assert_eq!(told(i64::MAX).0, Some(most));
        let (wait, note) = told(-1);
        assert_eq!((wait, note.contains("negative")), (Some(0), true));
        let plain = bounded(Failure::new(FailureKind::User, "E", "m"));
        assert_eq!((plain.next_retry_delay, plain.message.as_str()), (None, "m"));
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let text = cut("ü".repeat(3_000), MAX_MESSAGE);
        assert!(text.len() <= MAX_MESSAGE && text.ends_with(" ..."));
        assert_eq!(cut("a\0b".into(), 10), "a\u{fffd}b");
    }
}
