//! More work than there is room for: refused with a delay before memory grows, and shared fairly.

use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use nexus_api::execution::v1::{CancelExecutionRequest, StartExecutionRequest, execution, task};
use nexus_tests::{Dev, DevOptions, eventually};
use tonic::Code;
use tonic_types::StatusExt;

#[tokio::test]
async fn starts_beyond_the_limit_are_refused_with_a_delay_and_taken_later() {
    let dev = Dev::start_with(DevOptions {
        args: vec!["--no-sample".into(), "--max-live=2".into()],
        ..DevOptions::default()
    });
    let long = "name: long\ntasks: {a: {queue: nobody, noop: {}}}";
    let first = dev.launch(long, "").await;
    let second = dev.launch(long, "").await;
    let request = || StartExecutionRequest {
        workflow: "long".into(),
        request_id: "third".into(),
        ..StartExecutionRequest::default()
    };
    let refused = dev.executions().start_execution(request()).await.expect_err("a third");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason_of(&refused), Some(ErrorReason::Overloaded));
    let retry = refused.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(retry.is_some_and(|delay| delay.as_secs() > 0), "{refused:?}");
    let cancel = CancelExecutionRequest {
        execution: first,
        ..CancelExecutionRequest::default()
    };
    dev.executions().cancel_execution(cancel).await.expect("cancel");
    eventually("there is room again", async || {
        dev.executions().start_execution(request()).await.is_ok()
    })
    .await;
    let state = dev.task(&second, "a").await.state();
    assert_eq!(state, task::State::Scheduled, "what was accepted is kept");
}

/// An execution of many tasks is decided in slices and its tasks take turns with everybody else's, so a small one that
/// comes later ends long before it.
#[tokio::test]
async fn a_huge_execution_does_not_starve_a_small_one() {
    let dev = Dev::start();
    let mut huge = "name: huge\ntasks:\n  root: {noop: {}}\n".to_owned();
    for n in 0..20_000 {
        huge += &format!("  t{n}: {{needs: [root], noop: {{}}}}\n");
    }
    let huge = dev.launch(&huge, "").await;
    eventually("the huge one is in full swing", async || {
        let root = dev.task(&huge, "root").await;
        root.state() == task::State::Succeeded
    })
    .await;
    let small = "name: small\ntasks: {a: {noop: {}}, b: {needs: [a], noop: {}}, c: {needs: [b], noop: {}}}";
    let small = dev.run(small, "").await;
    assert_eq!(small.state(), execution::State::Succeeded);
    let open = dev.tasks(&huge).await;
    let open = open
        .iter()
        .filter(|task| task.state() != task::State::Succeeded)
        .count();
    assert!(open > 5_000, "the small one had to wait until {open} tasks were left");
    assert_eq!(dev.wait(&huge).await.state(), execution::State::Succeeded);
}
