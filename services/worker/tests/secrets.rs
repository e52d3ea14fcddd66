//! Secrets that NEXUS keeps, as a worker gets them from a scripted server.

mod common;

use std::time::Duration;

use common::{Event, Stage, leased, tasks};
use nexus_api::worker::v1::stream_tasks_request::Message;
use nexus_api::worker::v1::task_report::Outcome;
use nexus_api::worker::v1::{LeasedTask, SecretPlaceholder, TaskReport};
use serde_json::json;
use tonic::Code;

const LONG: Duration = Duration::from_secs(12);

/// A task that says and returns a secret of the worker's own and some others.
fn naming(token: &str, names: &[&str]) -> LeasedTask {
    let code = "def main(values):\n    print(' '.join(values))\n    return len(values[-1])";
    let marks: Vec<String> = (0..names.len()).map(|number| format!("«{number}»")).collect();
    let mut task = leased(token, "python", json!({"code": code, "args": {"values": marks}}));
    task.secrets = marks
        .into_iter()
        .zip(names)
        .map(|(placeholder, name)| SecretPlaceholder {
            placeholder,
            name: (*name).to_owned(),
        })
        .collect();
    task
}

/// The report of the next attempt, and its log.
async fn run(stage: &mut Stage, task: LeasedTask) -> (TaskReport, Vec<String>) {
    let (outbox, _) = stage.open().await;
    outbox.send(tasks(vec![task])).await.expect("send");
    let mut lines = Vec::new();
    loop {
        match stage.event().await {
            Event::Logs(logs) => {
                let batches = logs.batches.into_iter();
                lines.extend(batches.flat_map(|batch| batch.lines).map(|line| line.text));
            }
            Event::Said(Message::Report(report)) => return (report.reports[0].clone(), lines),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_worker_does_not_have_is_asked_for_and_redacted() {
    let mut stage = Stage::new(1, LONG, LONG).await;
    stage.vault.lock().expect("no panic").failures = 2;
    let (report, lines) = run(&mut stage, naming("a", &["key", "kept_1", "kept_2"])).await;
    let Some(Outcome::Succeeded(done)) = report.outcome else {
        panic!("{report:?}")
    };
    assert_eq!(done.output, "kept_2-value".len().to_string());
    assert_eq!(lines, ["*** *** ***"]);
    let asked = std::mem::take(&mut stage.vault.lock().expect("no panic").asked);
    assert_eq!(asked.len(), 3, "a server that is away is asked again");
    for request in asked {
        assert_eq!((request.session.as_str(), request.token.as_str()), ("session-1", "a"));
        assert_eq!(request.names, ["kept_1", "kept_2"], "its own are not asked for");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_nobody_has_fails_the_attempt_and_says_where_it_was_looked_for() {
    let mut stage = Stage::new(1, LONG, LONG).await;
    let (report, _) = run(&mut stage, naming("a", &["kept", "nowhere"])).await;
    let Some(Outcome::Failed(failure)) = report.outcome else {
        panic!("{report:?}")
    };
    assert_eq!(
        (failure.r#type.as_str(), failure.non_retryable),
        ("SecretMissing", true)
    );
    for part in [
        "`nowhere`",
        "NEXUS_SECRET_NOWHERE",
        "NEXUS keeps in the namespace default",
    ] {
        assert!(failure.message.contains(part), "{failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_may_not_have_it_says_so() {
    let mut stage = Stage::new(1, LONG, LONG).await;
    stage.vault.lock().expect("no panic").refusal = Some(Code::PermissionDenied);
    let (report, _) = run(&mut stage, naming("a", &["kept"])).await;
    let Some(Outcome::Failed(failure)) = report.outcome else {
        panic!("{report:?}")
    };
    assert_eq!(failure.r#type, "SecretMissing");
    assert!(failure.message.contains("may not have: not you"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_whose_lease_is_over_is_given_back_unbegun() {
    let mut stage = Stage::new(1, LONG, LONG).await;
    stage.vault.lock().expect("no panic").refusal = Some(Code::Aborted);
    let (report, lines) = run(&mut stage, naming("a", &["kept"])).await;
    let Some(Outcome::Released(released)) = report.outcome else {
        panic!("{report:?}")
    };
    assert!(
        released.not_started && released.reason.contains("not you"),
        "{released:?}"
    );
    assert!(lines.is_empty());
}
