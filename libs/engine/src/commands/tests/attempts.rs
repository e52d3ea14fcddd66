//! Attempts: their order, their failures and retries, and those that were lost.

use super::*;

#[test]
fn a_chain_runs_in_order_to_its_output() {
    let mut run = chain();
    assert_eq!(run.dispatched(), ["a"]);
    assert_eq!(run.execution.state, X::Pending);
    run.succeed("a", json!({"x": 12_345_678_901_234_567_i64}));
    assert_eq!(run.execution.state, X::Running);
    assert_eq!(run.dispatched(), ["a", "b"]);
    run.succeed("b", json!(null));
    run.succeed("c", json!(null));
    assert_eq!(run.execution.state, X::Succeeded);
    assert_eq!(
        run.execution.output.as_ref().expect("output").text().as_ref(),
        r#"{"x":12345678901234567}"#
    );
    assert!(run.effects.contains(&Effect::Close));
}

#[test]
fn stale_and_early_commands_are_refused() {
    let mut run = chain();
    let grant = |task, attempt| Command::Grant {
        task,
        attempt,
        worker: "w".into(),
    };
    let report = |task, attempt| Command::Report {
        task,
        attempt,
        outcome: Outcome::Succeeded(Output::new("1")),
    };
    assert_eq!(
        run.send(Command::Start { kept: Vec::new() }),
        Err(Rejection::AlreadyStarted)
    );
    assert_eq!(
        run.send(report(TaskKey::of(0), 1)),
        Err(Rejection::Stale),
        "nobody holds it"
    );
    assert_eq!(
        run.send(grant(TaskKey::of(1), 1)),
        Err(Rejection::Stale),
        "it is not ready"
    );
    assert_eq!(
        run.send(grant(TaskKey::of(0), 2)),
        Err(Rejection::Stale),
        "not this attempt"
    );
    assert_eq!(
        run.send(grant(TaskKey::of(99), 1)),
        Err(Rejection::Stale),
        "no such task"
    );
    run.send(grant(TaskKey::of(0), 1)).expect("grant");
    assert_eq!(
        run.send(grant(TaskKey::of(0), 1)),
        Err(Rejection::Stale),
        "it is leased already"
    );
    run.send(report(TaskKey::of(0), 1)).expect("report");
    assert_eq!(
        run.send(report(TaskKey::of(0), 1)),
        Err(Rejection::Stale),
        "it came twice"
    );
    run.send(Command::Cancel { reason: String::new() }).expect("cancel");
    assert_eq!(
        run.send(Command::Cancel { reason: String::new() }),
        Err(Rejection::Closed)
    );
    assert_eq!(run.send(Command::TimerFired(Timer::Execution)), Err(Rejection::Closed));
}

#[test]
fn failures_are_retried_with_backoff_and_then_final() {
    let retry = json!({"retry": {"max_attempts": 3, "initial_interval": "2s", "jitter": 0.0}});
    let mut run = Run::new(json!({"name": "w", "tasks": {
        "a": with(noop(), retry), "b": with(noop(), json!({"needs": ["a"]})),
        "alone": noop(),
    }}));
    run.fail("a");
    assert_eq!((run.state("a"), run.task("a").next_at), (T::Retrying, Some(2 * SECOND)));
    run.wait_until(2 * SECOND - 1);
    assert_eq!(run.state("a"), T::Retrying);
    run.wait_until(2 * SECOND);
    assert_eq!(run.state("a"), T::Scheduled);
    run.fail("a");
    assert_eq!(run.task("a").next_at, Some(6 * SECOND), "twice as long");
    run.wait_until(6 * SECOND);
    run.fail("a");
    assert_eq!((run.state("a"), run.task("a").user_attempts()), (T::Failed, 3));
    assert_eq!(run.state("b"), T::UpstreamFailed);
    assert_eq!(run.execution.state, X::Running, "independent tasks finish");
    run.succeed("alone", json!(1));
    assert_eq!(run.execution.state, X::Failed);
    let failure = run.execution.failure.as_ref().expect("failure");
    assert!(failure.message.contains("task a failed: bad"), "{}", failure.message);
}

#[test]
fn lost_workers_spend_no_attempt_until_the_task_is_poison() {
    let mut run = Run::new(json!({"name": "w", "tasks": {"a": noop()}}));
    for losses in 1..=4 {
        run.grant("a");
        run.lose("a", true);
        assert_eq!((run.state("a"), run.task("a").infra_losses), (T::Scheduled, losses));
        assert_eq!(run.task("a").user_attempts(), 0);
    }
    for _ in 0..20 {
        run.grant("a");
        run.lose("a", false);
    }
    assert_eq!(run.state("a"), T::Scheduled, "restarts do not count");
    run.grant("a");
    run.report("a", released(false));
    assert_eq!(
        (run.state("a"), run.task("a").infra_losses),
        (T::Scheduled, 4),
        "nor does giving back"
    );
    run.grant("a");
    run.report(
        "a",
        Outcome::Failed(Failure::new(FailureKind::Infrastructure, "WorkerLost", "zygote")),
    );
    assert_eq!((run.state("a"), run.execution.state), (T::Failed, X::Failed));
}

#[test]
fn at_most_once_ends_unknown() {
    let mut run = Run::new(json!({"name": "w", "tasks": {"a": with(noop(), json!({"delivery": "at_most_once"}))}}));
    run.grant("a");
    run.lose("a", false);
    assert_eq!((run.state("a"), run.execution.state), (T::Unknown, X::Failed));
    assert_eq!(run.dispatched(), ["a"], "never given out twice");
}

fn released(not_started: bool) -> Outcome {
    Outcome::Released {
        reason: "drain".into(),
        not_started,
    }
}

#[test]
fn what_never_began_is_given_out_again_even_at_most_once() {
    let once = json!({"name": "w", "tasks": {"a": with(noop(), json!({"delivery": "at_most_once"}))}});
    let mut run = Run::new(once.clone());
    run.grant("a");
    run.report("a", released(true));
    assert_eq!((run.state("a"), run.task("a").user_attempts()), (T::Scheduled, 0));
    run.grant("a");
    run.report("a", released(false));
    assert_eq!(run.state("a"), T::Unknown, "it may have begun");
    let mut closing = Run::new(once);
    closing.grant("a");
    closing.send(Command::Cancel { reason: String::new() }).expect("cancel");
    closing.report("a", released(true));
    assert_eq!(
        (closing.state("a"), closing.execution.state),
        (T::Cancelled, X::Cancelled)
    );
}

#[test]
fn a_failure_cannot_ask_for_a_wait_without_an_end() {
    let most = crate::LONGEST_ASKED_WAIT;
    for (asked, wait) in [
        (i64::MIN, 0),
        (-1, 0),
        (0, 0),
        (most - 1, most - 1),
        (most, most),
        (most + 1, most),
        (i64::MAX, most),
    ] {
        let mut run =
            Run::new(json!({"name": "w", "tasks": {"a": with(noop(), json!({"retry": {"max_attempts": 2}}))}}));
        run.now = SECOND;
        run.grant("a");
        let failure = Failure::new(FailureKind::User, "E", "m");
        let next_retry_delay = Some(asked);
        run.report(
            "a",
            Outcome::Failed(Failure {
                next_retry_delay,
                ..failure
            }),
        );
        assert_eq!(run.task("a").next_at, Some(SECOND + wait), "{asked}");
        // What was stored before there was a bound waits no longer once it is loaded.
        run.execution = run.execution.due_at(TaskKey::of(0), i64::MAX);
        let owed = resume(&run.execution, 2 * SECOND);
        let timer = Timer::Retry {
            task: TaskKey::of(0),
            attempt: 1,
        };
        assert!(
            owed.contains(&Effect::SetTimer {
                timer,
                at: 2 * SECOND + wait
            }),
            "{owed:?}"
        );
        run.wait_until(i64::MAX);
        assert_eq!(run.state("a"), T::Scheduled);
    }
}
