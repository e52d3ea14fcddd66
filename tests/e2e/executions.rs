//! The execution service, RPC by RPC.

use std::collections::HashMap;

use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use nexus_api::execution::v1::{
    ExecutionView, GetExecutionRequest, GetTaskDurationsRequest, GetTaskRequest, ListAttemptsRequest,
    ListExecutionsRequest, ListHistoryRequest, ListLogsRequest, ListTasksRequest, StartExecutionRequest,
    TailLogsRequest, WaitExecutionRequest, WatchExecutionRequest, attempt, event, execution, task,
};
use nexus_tests::Dev;
use tonic::Code;

const THREE: &str = r#"
name: three
labels: {team: data}
tasks:
  a: {noop: {output: {n: 1}}}
  b: {python: {args: {n: "{{ tasks.a.output.n }}"}, code: "def main(n):\n    print('n is', n)\n    return n + 1\n"}}
  c: {noop: {output: "{{ tasks.b.output }}"}}
output: {sum: "{{ tasks.c.output + 1 }}"}
"#;

#[tokio::test]
async fn an_execution_runs_to_its_output() {
    let dev = Dev::start();
    let execution = dev.run(THREE, "").await;
    assert_eq!(execution.state(), execution::State::Succeeded, "{execution:?}");
    assert_eq!(execution.output, r#"{"sum":3}"#);
    assert_eq!(execution.labels, HashMap::from([("team".into(), "data".into())]));
    assert_eq!(execution.task_counts, HashMap::from([("SUCCEEDED".into(), 3)]));
    let at = |time: &Option<prost_types::Timestamp>| nexus_api::time::micros(time.as_ref().expect("time"));
    let times = [
        at(&execution.create_time),
        at(&execution.start_time),
        at(&execution.finish_time),
    ];
    assert!(times.is_sorted(), "{times:?}");

    let request = GetExecutionRequest {
        execution: execution.id.clone(),
        view: ExecutionView::Full.into(),
    };
    let full = dev
        .executions()
        .get_execution(request)
        .await
        .expect("get")
        .into_inner()
        .execution
        .expect("execution");
    let states: Vec<_> = full
        .tasks
        .iter()
        .map(|task| (task.id.as_str(), task.state(), task.attempts))
        .collect();
    let done = task::State::Succeeded;
    assert_eq!(states, [("a", done, 1), ("b", done, 1), ("c", done, 1)]);
    assert_eq!(full.tasks[1].needs, ["a"]);
    assert_eq!(full.tasks[1].kind, "python");

    let request = GetTaskRequest {
        execution: execution.id.clone(),
        task: "b".into(),
    };
    let task = dev
        .executions()
        .get_task(request)
        .await
        .expect("task")
        .into_inner()
        .task
        .expect("task");
    assert_eq!(task.output, "2");
}

#[tokio::test]
async fn a_start_is_idempotent_by_its_request_id() {
    let dev = Dev::start();
    dev.apply(THREE).await.expect("apply");
    let request = |params: &str| StartExecutionRequest {
        workflow: "three".into(),
        params: params.into(),
        request_id: "one".into(),
        ..StartExecutionRequest::default()
    };
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let mut client = dev.executions();
        let request = request("{}");
        racing.spawn(async move { client.start_execution(request).await.expect("start").into_inner() });
    }
    let answers = racing.join_all().await;
    let id = &answers[0].execution.as_ref().expect("execution").id;
    assert!(
        answers
            .iter()
            .all(|answer| &answer.execution.as_ref().expect("execution").id == id)
    );
    assert_eq!(answers.iter().filter(|answer| !answer.existing).count(), 1);
    let spaced = dev
        .executions()
        .start_execution(request(" { } "))
        .await
        .expect("the same params")
        .into_inner();
    assert!(spaced.existing);
    let other = dev
        .executions()
        .start_execution(request(r#"{"x":1}"#))
        .await
        .expect_err("another body");
    assert_eq!(
        (other.code(), reason_of(&other)),
        (Code::AlreadyExists, Some(ErrorReason::RequestIdReused))
    );
    let list = dev
        .executions()
        .list_executions(ListExecutionsRequest::default())
        .await
        .expect("list")
        .into_inner();
    assert_eq!(list.executions.len(), 1);
}

#[tokio::test]
async fn lists_page_and_filter() {
    let dev = Dev::start();
    dev.apply(THREE).await.expect("apply");
    dev.apply("name: broken\ntasks: {x: {bash: {run: 'exit 7'}}}")
        .await
        .expect("apply");
    let mut ids = Vec::new();
    for n in 0..7 {
        let request = StartExecutionRequest {
            workflow: if n == 3 { "broken" } else { "three" }.into(),
            labels: HashMap::from([("n".into(), n.to_string())]),
            ..StartExecutionRequest::default()
        };
        let started = dev
            .executions()
            .start_execution(request)
            .await
            .expect("start")
            .into_inner();
        ids.push(started.execution.expect("execution").id);
    }
    for id in &ids {
        dev.wait(id).await;
    }
    let mut listed = Vec::new();
    let mut request = ListExecutionsRequest {
        page_size: 3,
        ..ListExecutionsRequest::default()
    };
    loop {
        let page = dev
            .executions()
            .list_executions(request.clone())
            .await
            .expect("list")
            .into_inner();
        assert!(page.executions.len() <= 3);
        listed.extend(page.executions.into_iter().map(|execution| execution.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    ids.reverse();
    assert_eq!(listed, ids, "newest first, each once");
    for (filter, count) in [
        ("workflow = broken", 1),
        ("state = FAILED", 1),
        ("state = SUCCEEDED AND labels.team = data", 6),
        ("labels.n = 5", 1),
        ("create_time > \"2020-01-01T00:00:00Z\"", 7),
        ("create_time < \"2020-01-01T00:00:00Z\"", 0),
    ] {
        let request = ListExecutionsRequest {
            filter: filter.into(),
            ..ListExecutionsRequest::default()
        };
        let page = dev
            .executions()
            .list_executions(request)
            .await
            .expect(filter)
            .into_inner();
        assert_eq!(page.executions.len(), count, "{filter}");
    }
    let wrong = ListExecutionsRequest {
        filter: "nope = 1".into(),
        ..ListExecutionsRequest::default()
    };
    let status = dev.executions().list_executions(wrong).await.expect_err("filter");
    assert_eq!(reason_of(&status), Some(ErrorReason::InvalidFilter));
    let foreign = ListExecutionsRequest {
        filter: "workflow = three".into(),
        ..request
    };
    let status = dev
        .executions()
        .list_executions(foreign)
        .await
        .expect_err("a token of another query");
    assert_eq!(reason_of(&status), Some(ErrorReason::InvalidPageToken));
}

#[tokio::test]
async fn a_watch_has_no_gaps_and_resumes() {
    let dev = Dev::start();
    let id = dev.launch(THREE, "").await;
    let mut events = Vec::new();
    let request = WatchExecutionRequest {
        execution: id.clone(),
        after_sequence: 0,
    };
    let mut stream = dev
        .executions()
        .watch_execution(request)
        .await
        .expect("watch")
        .into_inner();
    while let Some(message) = stream.message().await.expect("message") {
        events.extend(message.events);
    }
    let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=events.len() as u64).collect::<Vec<_>>());
    assert_eq!(events.first().expect("first").r#type(), event::Type::ExecutionCreated);
    assert_eq!(events.last().expect("last").r#type(), event::Type::ExecutionFinished);

    let request = WatchExecutionRequest {
        execution: id.clone(),
        after_sequence: 5,
    };
    let mut stream = dev
        .executions()
        .watch_execution(request)
        .await
        .expect("watch")
        .into_inner();
    let resumed = stream.message().await.expect("message").expect("events").events;
    assert_eq!(resumed[0], events[5]);

    let mut listed = Vec::new();
    let mut request = ListHistoryRequest {
        execution: id,
        page_size: 4,
        page_token: String::new(),
    };
    loop {
        let page = dev
            .executions()
            .list_history(request.clone())
            .await
            .expect("history")
            .into_inner();
        listed.extend(page.events);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed, events, "the list tells the same as the stream");
}

#[tokio::test]
async fn attempts_retries_and_logs_are_told() {
    let dev = Dev::start();
    let flaky = r#"
name: flaky
tasks:
  a:
    retry: {max_attempts: 3, initial_interval: 50ms}
    bash:
      run: |
        echo "attempt $NEXUS_ATTEMPT"
        echo "to stderr" >&2
        [ "$NEXUS_ATTEMPT" = 3 ]
"#;
    let execution = dev.run(flaky, "").await;
    assert_eq!(execution.state(), execution::State::Succeeded, "{execution:?}");
    let request = ListAttemptsRequest {
        execution: execution.id.clone(),
        task: "a".into(),
        ..Default::default()
    };
    let attempts = dev
        .executions()
        .list_attempts(request)
        .await
        .expect("attempts")
        .into_inner()
        .attempts;
    let states: Vec<_> = attempts
        .iter()
        .map(|attempt| (attempt.number, attempt.state()))
        .collect();
    use attempt::State::{Failed, Succeeded};
    assert_eq!(states, [(1, Failed), (2, Failed), (3, Succeeded)]);
    assert_eq!(attempts[0].error.as_ref().expect("error").r#type, "ExitCode");

    let request = ListLogsRequest {
        execution: execution.id.clone(),
        task: "a".into(),
        attempt: 2,
        ..Default::default()
    };
    let lines = dev
        .executions()
        .list_logs(request)
        .await
        .expect("logs")
        .into_inner()
        .lines;
    let mut texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["attempt 2", "to stderr"]);

    let request = TailLogsRequest {
        execution: execution.id,
        follow: true,
        ..Default::default()
    };
    let mut stream = dev.executions().tail_logs(request).await.expect("tail").into_inner();
    let mut tailed = 0;
    while let Some(message) = stream.message().await.expect("message") {
        tailed += message.lines.len();
    }
    assert_eq!(tailed, 6, "all attempts' lines, then the end");
}

#[tokio::test]
async fn waiting_ends_with_the_execution_or_the_wait() {
    let dev = Dev::start();
    let id = dev.launch("name: slow\ntasks: {a: {bash: {run: sleep 30}}}", "").await;
    let timeout = Some(nexus_api::time::duration(100_000));
    let request = WaitExecutionRequest {
        execution: id.clone(),
        timeout,
    };
    let answer = dev
        .executions()
        .wait_execution(request)
        .await
        .expect("wait")
        .into_inner();
    assert!(!answer.done);
    let negative = WaitExecutionRequest {
        execution: id,
        timeout: Some(nexus_api::time::duration(-1)),
    };
    let status = dev.executions().wait_execution(negative).await.expect_err("negative");
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn usual_durations_come_from_finished_executions() {
    let dev = Dev::start();
    for _ in 0..3 {
        dev.run(
            "name: timed\ntasks: {a: {bash: {run: sleep 0.1}}, b: {needs: [a], noop: {}}}",
            "",
        )
        .await;
    }
    let request = GetTaskDurationsRequest {
        workflow: "timed".into(),
    };
    let answer = dev
        .executions()
        .get_task_durations(request)
        .await
        .expect("durations")
        .into_inner();
    assert_eq!(answer.executions, 3);
    assert!((0.1..5.0).contains(&answer.mean_seconds["a"]), "{answer:?}");
    assert!(answer.mean_seconds.contains_key("b"));
}

#[tokio::test]
async fn what_does_not_exist_is_said_so() {
    let dev = Dev::start();
    let id = dev.run(THREE, "").await.id;
    let unknown = "00000000-0000-7000-8000-000000000000";
    let get = |execution: &str| GetExecutionRequest {
        execution: execution.into(),
        view: 0,
    };
    let status = dev.executions().get_execution(get(unknown)).await.expect_err("unknown");
    assert_eq!(
        (status.code(), reason_of(&status)),
        (Code::NotFound, Some(ErrorReason::ExecutionNotFound))
    );
    let status = dev
        .executions()
        .get_execution(get("../etc/passwd"))
        .await
        .expect_err("no id");
    assert_eq!(reason_of(&status), Some(ErrorReason::InvalidField));
    let prefix = dev
        .executions()
        .get_execution(get(&id[..13]))
        .await
        .expect("a prefix")
        .into_inner();
    assert_eq!(prefix.execution.expect("execution").id, id);
    let request = GetTaskRequest {
        execution: id.clone(),
        task: "zzz".into(),
    };
    let status = dev.executions().get_task(request).await.expect_err("no task");
    assert_eq!(reason_of(&status), Some(ErrorReason::TaskNotFound));
    let request = StartExecutionRequest {
        workflow: "thre".into(),
        ..StartExecutionRequest::default()
    };
    let status = dev
        .executions()
        .start_execution(request)
        .await
        .expect_err("no workflow");
    assert_eq!(reason_of(&status), Some(ErrorReason::WorkflowNotFound));
    assert!(status.message().contains("did you mean three"), "{}", status.message());
    let request = ListTasksRequest {
        execution: id,
        page_size: -1,
        page_token: String::new(),
    };
    let status = dev.executions().list_tasks(request).await.expect_err("a negative page");
    assert_eq!(reason_of(&status), Some(ErrorReason::InvalidField));
}

#[tokio::test]
async fn tasks_page_in_the_order_of_the_file() {
    let dev = Dev::start();
    let tasks: Vec<String> = (0..25).map(|n| format!("  t{n}: {{noop: {{output: {n}}}}}")).collect();
    let execution = dev.run(&format!("name: many\ntasks:\n{}", tasks.join("\n")), "").await;
    assert_eq!(execution.state(), execution::State::Succeeded);
    let mut request = ListTasksRequest {
        execution: execution.id,
        page_size: 10,
        page_token: String::new(),
    };
    let mut outputs = Vec::new();
    loop {
        let page = dev
            .executions()
            .list_tasks(request.clone())
            .await
            .expect("tasks")
            .into_inner();
        outputs.extend(page.tasks.into_iter().map(|task| task.output));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(outputs, (0..25).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_callers_trace_reaches_the_tasks_process() {
    let dev = Dev::start();
    dev.apply("name: traced\ntasks: {a: {bash: {run: 'echo \"trace=$TRACEPARENT\" >> $NEXUS_OUTPUT'}}}")
        .await
        .expect("apply");
    let mut request = tonic::Request::new(StartExecutionRequest {
        workflow: "traced".into(),
        ..StartExecutionRequest::default()
    });
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request
        .metadata_mut()
        .insert("traceparent", trace.parse().expect("header"));
    let started = dev
        .executions()
        .start_execution(request)
        .await
        .expect("start")
        .into_inner();
    let id = started.execution.expect("execution").id;
    assert_eq!(dev.wait(&id).await.state(), execution::State::Succeeded);
    let output = dev.task(&id, "a").await.output;
    assert!(output.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{output}");
}
