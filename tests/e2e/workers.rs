//! The worker protocol, RPC by RPC, from the point of view of an outside worker.

use std::time::Duration;

use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use nexus_api::execution::v1::{CancelExecutionRequest, ListLogsRequest, LogLine, execution, log_line, task};
use nexus_api::worker::v1::{
    AppendTaskLogsRequest, DeregisterWorkerRequest, HeartbeatTasksRequest, LeasedTask, PollTasksRequest,
    ReceivedLeases, RegisterWorkerRequest, ReportTasksRequest, StreamTasksRequest, Succeeded, TaskLogLines, TaskReport,
    directive, report_result, stream_tasks_request, stream_tasks_response, task_report,
};
use nexus_tests::{Dev, eventually};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const SOURCE: &str = r#"
name: outside
tasks:
  a: {queue: gpu, retry: {max_attempts: 2, initial_interval: 10ms}, noop: {output: {for: "{{ params.who }}"}}}
  b: {queue: gpu, needs: [a], noop: {output: "{{ tasks.a.output }}"}}
"#;

async fn register(dev: &Dev) -> String {
    let request = RegisterWorkerRequest {
        name: "outside".into(),
        queues: vec!["gpu".into()],
        slots: 2,
        ..RegisterWorkerRequest::default()
    };
    dev.workers()
        .register_worker(request)
        .await
        .expect("register")
        .into_inner()
        .session
}

async fn poll(dev: &Dev, session: &str) -> Vec<LeasedTask> {
    let wait = Some(nexus_api::time::duration(5_000_000));
    let request = PollTasksRequest {
        session: session.into(),
        max_tasks: 1,
        wait,
    };
    dev.workers()
        .poll_tasks(request)
        .await
        .expect("poll")
        .into_inner()
        .tasks
}

fn success(token: &str, output: &str) -> TaskReport {
    let outcome = task_report::Outcome::Succeeded(Succeeded { output: output.into() });
    TaskReport {
        token: token.into(),
        outcome: Some(outcome),
    }
}

async fn report(
    dev: &Dev,
    session: &str,
    report: TaskReport,
    free_slots: u32,
) -> (report_result::Status, Vec<LeasedTask>) {
    let request = ReportTasksRequest {
        session: session.into(),
        reports: vec![report],
        free_slots,
    };
    let answer = dev.workers().report_tasks(request).await.expect("report").into_inner();
    (answer.results[0].status(), answer.tasks)
}

#[tokio::test]
async fn a_polling_worker_runs_a_chain_through_acknowledgements() {
    let dev = Dev::start();
    let session = register(&dev).await;
    let id = dev.launch(SOURCE, r#"{"who":"me"}"#).await;
    let tasks = poll(&dev, &session).await;
    let a = &tasks[0];
    assert_eq!(
        (a.task.as_str(), a.kind.as_str(), a.attempt, a.max_attempts),
        ("a", "noop", 1, 2)
    );
    assert_eq!(a.input, r#"{"output":{"for":"me"}}"#);
    assert_eq!(a.idempotency_key, format!("{id}/a"));
    let (status, next) = report(&dev, &session, success(&a.token, r#"{"x":[1,2]}"#), 1).await;
    assert_eq!(status, report_result::Status::Accepted);
    assert_eq!(
        next[0].task, "b",
        "the acknowledgement carries the task that the report freed"
    );
    assert_eq!(next[0].input, r#"{"output":{"x":[1,2]}}"#);
    let (status, _) = report(&dev, &session, success(&a.token, "1"), 0).await;
    assert_eq!(
        status,
        report_result::Status::Stale,
        "a repeated report changes nothing"
    );
    let (status, _) = report(&dev, &session, success(&next[0].token, "true"), 0).await;
    assert_eq!(status, report_result::Status::Accepted);
    assert_eq!(dev.wait(&id).await.state(), execution::State::Succeeded);
}

#[tokio::test]
async fn outputs_that_cannot_be_taken_fail_the_attempt() {
    let dev = Dev::start();
    let session = register(&dev).await;
    let id = dev.launch(SOURCE, r#"{"who":"me"}"#).await;
    let tasks = poll(&dev, &session).await;
    let (status, _) = report(&dev, &session, success(&tasks[0].token, "{no json"), 0).await;
    assert_eq!(status, report_result::Status::Invalid);
    assert_eq!(dev.wait(&id).await.state(), execution::State::Failed);
    assert_eq!(dev.task(&id, "a").await.error.expect("error").r#type, "InvalidOutput");
    let id = dev.launch(SOURCE, r#"{"who":"me"}"#).await;
    let tasks = poll(&dev, &session).await;
    let large = format!("\"{}\"", "a".repeat(1 << 20));
    let (status, _) = report(&dev, &session, success(&tasks[0].token, &large), 0).await;
    assert_eq!(status, report_result::Status::Invalid);
    assert_eq!(dev.task(&id, "a").await.error.expect("error").r#type, "OutputTooLarge");
}

#[tokio::test]
async fn heartbeats_carry_cancels_and_foreign_tokens_are_worth_nothing() {
    let dev = Dev::start();
    let (session, other) = (register(&dev).await, register(&dev).await);
    let id = dev.launch(SOURCE, r#"{"who":"me"}"#).await;
    let token = poll(&dev, &session).await.remove(0).token;
    let beat = async |session: &str| {
        let request = HeartbeatTasksRequest {
            session: session.into(),
            tokens: vec![token.clone()],
            ..HeartbeatTasksRequest::default()
        };
        dev.workers()
            .heartbeat_tasks(request)
            .await
            .expect("heartbeat")
            .into_inner()
            .directives
            .remove(0)
    };
    assert_eq!(beat(&session).await.action(), directive::Action::Continue);
    assert_eq!(beat(&other).await.action(), directive::Action::LeaseLost);
    let (status, _) = report(&dev, &other, success(&token, "1"), 0).await;
    assert_eq!(status, report_result::Status::Stale);
    let request = CancelExecutionRequest {
        execution: id.clone(),
        reason: "stop it".into(),
    };
    dev.executions().cancel_execution(request).await.expect("cancel");
    let directive = beat(&session).await;
    assert_eq!(
        (directive.action(), directive.reason.as_str()),
        (directive::Action::Cancel, "stop it")
    );
    let cancelled = task_report::Outcome::Cancelled(Default::default());
    report(
        &dev,
        &session,
        TaskReport {
            token,
            outcome: Some(cancelled),
        },
        0,
    )
    .await;
    assert_eq!(dev.wait(&id).await.state(), execution::State::Cancelled);
}

#[tokio::test]
async fn what_a_leaving_worker_holds_is_given_out_again() {
    let dev = Dev::start();
    let first = register(&dev).await;
    let id = dev.launch(SOURCE, r#"{"who":"me"}"#).await;
    let lost = poll(&dev, &first).await.remove(0);
    dev.workers()
        .deregister_worker(DeregisterWorkerRequest {
            session: first.clone(),
            received: None,
        })
        .await
        .expect("deregister");
    let request = PollTasksRequest {
        session: first,
        max_tasks: 1,
        wait: None,
    };
    let status = dev
        .workers()
        .poll_tasks(request)
        .await
        .expect_err("the session is over");
    assert_eq!(reason_of(&status), Some(ErrorReason::WorkerUnknown));
    let second = register(&dev).await;
    let again = poll(&dev, &second).await.remove(0);
    assert_eq!(
        (again.task.as_str(), again.attempt, again.user_attempt),
        ("a", 2, 1),
        "no attempt of the user's is spent"
    );
    assert_ne!(again.token, lost.token);
    assert_eq!(dev.task(&id, "a").await.infra_losses, 1);
}

#[tokio::test]
async fn what_was_on_its_way_to_a_worker_that_ends_in_order_was_not_lost() {
    let dev = Dev::start();
    let (first, id) = (register(&dev).await, dev.launch(SOURCE, r#"{"who":"me"}"#).await);
    // Given out, and by the worker's own word never received.
    poll(&dev, &first).await.remove(0);
    let request = DeregisterWorkerRequest {
        session: first,
        received: Some(ReceivedLeases::default()),
    };
    dev.workers().deregister_worker(request).await.expect("deregister");
    let second = register(&dev).await;
    let again = poll(&dev, &second).await.remove(0);
    assert_eq!((again.task.as_str(), again.user_attempt), ("a", 1));
    assert_eq!(dev.task(&id, "a").await.infra_losses, 0, "nothing had begun");
}

#[tokio::test]
async fn a_released_task_goes_to_somebody_else() {
    let dev = Dev::start();
    let session = register(&dev).await;
    let id = dev.launch(SOURCE, r#"{"who":"me"}"#).await;
    let token = poll(&dev, &session).await.remove(0).token;
    let released = task_report::Outcome::Released(nexus_api::worker::v1::Released {
        reason: "drain".into(),
        not_started: false,
    });
    let (status, tasks) = report(
        &dev,
        &session,
        TaskReport {
            token,
            outcome: Some(released),
        },
        1,
    )
    .await;
    assert_eq!(
        (status, tasks.len()),
        (report_result::Status::Accepted, 0),
        "not back to the one that gave it up"
    );
    assert_eq!(poll(&dev, &session).await[0].task, "a");
    assert_eq!(dev.task(&id, "a").await.infra_losses, 0);
}

#[tokio::test]
async fn logs_are_stored_once_and_only_for_leases_that_are_held() {
    let dev = Dev::start();
    let session = register(&dev).await;
    let id = dev.launch(SOURCE, r#"{"who":"me"}"#).await;
    let token = poll(&dev, &session).await.remove(0).token;
    let line = |text: &str| LogLine {
        text: text.into(),
        stream: log_line::Stream::Stdout.into(),
        ..LogLine::default()
    };
    let batch = |token: &str| TaskLogLines {
        token: token.into(),
        first_line: 0,
        lines: vec![line("one"), line("tw\0o")],
    };
    let request = AppendTaskLogsRequest {
        session: session.clone(),
        batches: vec![batch(&token), batch("forged")],
    };
    for _ in 0..2 {
        dev.workers().append_task_logs(request.clone()).await.expect("append");
    }
    let request = ListLogsRequest {
        execution: id,
        ..ListLogsRequest::default()
    };
    let lines = dev
        .executions()
        .list_logs(request)
        .await
        .expect("logs")
        .into_inner()
        .lines;
    let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["one", "tw\u{fffd}o"]);
}

#[tokio::test]
async fn a_streaming_worker_gets_tasks_and_cancels_at_once_and_loses_them_with_its_stream() {
    use stream_tasks_request::Message as Up;
    use stream_tasks_response::Message as Down;
    let dev = Dev::start();
    let session = register(&dev).await;
    let (up, messages) = mpsc::channel(8);
    let ready = PollTasksRequest {
        session,
        max_tasks: 1,
        wait: None,
    };
    up.send(StreamTasksRequest {
        message: Some(Up::Ready(ready)),
    })
    .await
    .expect("send");
    let mut down = dev
        .workers()
        .stream_tasks(ReceiverStream::new(messages))
        .await
        .expect("stream")
        .into_inner();
    let mut next = async || {
        let message = tokio::time::timeout(Duration::from_secs(10), down.message())
            .await
            .expect("in time");
        message.expect("message").expect("open").message.expect("content")
    };
    let id = dev.launch(SOURCE, r#"{"who":"me"}"#).await;
    let Down::Tasks(tasks) = next().await else {
        panic!("expected tasks")
    };
    assert_eq!(tasks.tasks[0].task, "a");
    let request = CancelExecutionRequest {
        execution: id.clone(),
        reason: "now".into(),
    };
    dev.executions().cancel_execution(request).await.expect("cancel");
    let Down::Heartbeat(directives) = next().await else {
        panic!("expected a directive")
    };
    assert_eq!(directives.directives[0].action(), directive::Action::Cancel);
    drop(up);
    assert_eq!(
        dev.wait(&id).await.state(),
        execution::State::Cancelled,
        "the broken stream gave the lease back"
    );

    let session = register(&dev).await;
    let id = dev.launch(SOURCE, r#"{"who":"me"}"#).await;
    let token = poll(&dev, &session).await.remove(0).token;
    assert!(!token.is_empty());
    let (up, messages) = mpsc::channel(8);
    let ready = PollTasksRequest {
        session,
        max_tasks: 1,
        wait: None,
    };
    up.send(StreamTasksRequest {
        message: Some(Up::Ready(ready)),
    })
    .await
    .expect("send");
    let stream = dev
        .workers()
        .stream_tasks(ReceiverStream::new(messages))
        .await
        .expect("stream");
    drop((up, stream));
    eventually("the task is ready again", async || {
        dev.task(&id, "a").await.state() == task::State::Scheduled
    })
    .await;
}

#[tokio::test]
async fn registration_is_checked_and_idempotent() {
    let dev = Dev::start();
    let request = RegisterWorkerRequest {
        slots: 1,
        request_id: "r".into(),
        ..RegisterWorkerRequest::default()
    };
    let first = dev
        .workers()
        .register_worker(request.clone())
        .await
        .expect("register")
        .into_inner();
    let again = dev
        .workers()
        .register_worker(request)
        .await
        .expect("register")
        .into_inner();
    assert_eq!(first.session, again.session);
    let span = |span: &Option<prost_types::Duration>| nexus_api::time::duration_micros(span.as_ref().expect("span"));
    assert!(span(&first.heartbeat_interval) < span(&first.lease_duration));
    let none = RegisterWorkerRequest::default();
    assert_eq!(
        reason_of(&dev.workers().register_worker(none).await.expect_err("no slots")),
        Some(ErrorReason::InvalidField)
    );
}
