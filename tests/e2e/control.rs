//! Conditions, rules, time limits and cancel, through the whole system.

use std::time::{Duration, Instant};

use nexus_api::execution::v1::{CancelExecutionRequest, execution, task};
use nexus_tests::{Dev, eventually};

#[tokio::test]
async fn cancel_stops_the_processes_of_running_tasks() {
    let dev = Dev::start();
    let marker = dev.folder().join("alive");
    let source = format!(
        "name: long\ntasks:\n  bash:\n    bash: {{run: \"trap '' TERM; (setsid sleep 300 &) ; touch {0}; while true; do sleep 0.1; done\"}}\n  \
         python: {{python: {{code: \"import time\\ndef main():\\n    time.sleep(300)\\n\"}}}}\n  after: {{needs: [bash], noop: {{}}}}\n",
        marker.display()
    );
    let id = dev.launch(&source, "").await;
    eventually("both tasks run", async || {
        let running = dev
            .tasks(&id)
            .await
            .iter()
            .filter(|task| task.state() == task::State::Running)
            .count();
        running == 2 && marker.exists()
    })
    .await;
    let begun = Instant::now();
    let request = CancelExecutionRequest {
        execution: id.clone(),
        reason: "enough".into(),
    };
    let answer = dev
        .executions()
        .cancel_execution(request.clone())
        .await
        .expect("cancel")
        .into_inner();
    assert_eq!(
        answer.execution.expect("execution").state(),
        execution::State::Cancelling
    );
    let ended = dev.wait(&id).await;
    assert_eq!(ended.state(), execution::State::Cancelled);
    assert_eq!(ended.cancel_reason, "enough");
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "a task that ignores SIGTERM is killed after its grace"
    );
    for task in dev.tasks(&id).await {
        assert_eq!(task.state(), task::State::Cancelled, "{}", task.id);
    }
    let again = dev
        .executions()
        .cancel_execution(request)
        .await
        .expect("cancelling twice is not an error")
        .into_inner();
    assert_eq!(again.execution.expect("execution").state(), execution::State::Cancelled);
}

#[tokio::test]
async fn an_attempt_times_out_and_its_strays_die() {
    let dev = Dev::start();
    let pid_file = dev.folder().join("stray");
    let source = format!(
        "name: hang\ntasks:\n  a:\n    timeout: 1s\n    bash: {{run: \"setsid sleep 300 & echo $! > {}; sleep 300\"}}\n",
        pid_file.display()
    );
    let execution = dev.run(&source, "").await;
    assert_eq!(execution.state(), execution::State::Failed);
    let task = dev.task(&execution.id, "a").await;
    assert_eq!(task.state(), task::State::TimedOut);
    assert_eq!(task.error.expect("error").r#type, "Timeout");
    let pid = std::fs::read_to_string(&pid_file).expect("pid");
    let stray = std::path::Path::new("/proc").join(pid.trim());
    eventually("the stray process is gone", async || !stray.exists()).await;
}

#[tokio::test]
async fn the_workflow_times_out() {
    let dev = Dev::start();
    let execution = dev
        .run("name: slow\ntimeout: 500ms\ntasks: {a: {bash: {run: sleep 300}}}", "")
        .await;
    assert_eq!(execution.state(), execution::State::TimedOut);
}

#[tokio::test]
async fn conditions_rules_and_handlers_decide() {
    let dev = Dev::start();
    let source = r#"
name: rules
params: {type: object, properties: {go: {type: boolean, default: false}}}
tasks:
  fails: {bash: {run: "echo broken >&2; exit 3"}}
  skipped: {if: params.go, noop: {}}
  behind_skip: {needs: [skipped], noop: {}}
  anyway: {needs: [skipped], trigger_rule: none_failed, noop: {}}
  handler: {handles: [fails], noop: {output: "{{ tasks.fails.error.message }}"}}
  behind: {needs: [fails], noop: {}}
  forgiven: {continue_on_error: true, bash: {run: exit 1}}
  after_forgiven: {needs: [forgiven], noop: {output: "{{ tasks.forgiven.state }}"}}
"#;
    let execution = dev.run(source, "").await;
    assert_eq!(
        execution.state(),
        execution::State::Succeeded,
        "every failure is handled: {execution:?}"
    );
    let states: Vec<_> = dev
        .tasks(&execution.id)
        .await
        .into_iter()
        .map(|task| (task.id.clone(), task.state()))
        .collect();
    use task::State::{Failed, Skipped, Succeeded, UpstreamFailed};
    let expected = [
        ("fails", Failed),
        ("skipped", Skipped),
        ("behind_skip", Skipped),
        ("anyway", Succeeded),
        ("handler", Succeeded),
        ("behind", UpstreamFailed),
        ("forgiven", Failed),
        ("after_forgiven", Succeeded),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(id, state)| (id.to_owned(), state)).collect();
    assert_eq!(states, expected);
    assert!(dev.task(&execution.id, "handler").await.output.contains("broken"));
    assert_eq!(dev.task(&execution.id, "after_forgiven").await.output, "\"FAILED\"");
}

#[tokio::test]
async fn a_task_without_a_worker_times_out() {
    let dev = Dev::start();
    let source = "name: lonely\ntasks: {a: {queue: nobody, schedule_to_start_timeout: 300ms, noop: {}}}";
    let execution = dev.run(source, "").await;
    assert_eq!(execution.state(), execution::State::Failed);
    let task = dev.task(&execution.id, "a").await;
    assert_eq!((task.state(), task.attempts), (task::State::TimedOut, 0));
}

#[tokio::test]
async fn an_input_that_cannot_be_evaluated_fails_its_task_and_frees_the_slot() {
    let dev = Dev::start_with(nexus_tests::DevOptions {
        args: vec!["--no-sample".into(), "--slots=1".into()],
        ..Default::default()
    });
    let source = "name: wrong\ntasks:\n  a: {noop: {output: {x: 1}}}\n  b: {noop: {output: '{{ tasks.a.output.y.z }}'}}\n  \
                  c: {needs: [a], noop: {output: fine}}\n";
    for _ in 0..3 {
        let execution = dev.run(source, "").await;
        assert_eq!(execution.state(), execution::State::Failed);
        let error = dev.task(&execution.id, "b").await.error.expect("error");
        assert_eq!(error.r#type, "Expression");
        assert!(error.message.contains("tasks.a.output.y"), "{}", error.message);
        assert_eq!(dev.task(&execution.id, "c").await.state(), task::State::Succeeded);
    }
}
