//! What ends an execution or a task before its work is done.

use super::*;

#[test]
fn cancel_stops_everything_and_waits_for_what_runs() {
    let mut run = Run::new(json!({"name": "w", "tasks": {
        "running": noop(), "ready": noop(), "retrying": with(noop(), json!({"retry": {"max_attempts": 2}})),
        "waiting": with(noop(), json!({"needs": ["running"]})),
    }}));
    run.fail("retrying");
    run.grant("running");
    run.send(Command::Cancel {
        reason: "enough".into(),
    })
    .expect("cancel");
    run.send(Command::Cancel { reason: "again".into() })
        .expect("cancelling twice is not an error");
    assert_eq!(run.execution.state, X::Cancelling);
    for id in ["ready", "waiting", "retrying"] {
        assert_eq!(run.state(id), T::Cancelled, "{id}");
    }
    assert!(run.effects.contains(&Effect::CancelAttempt {
        task: TaskKey::of(0),
        attempt: 1,
        reason: "enough".into()
    }));
    run.report("running", Outcome::Cancelled);
    assert_eq!(
        (run.state("running"), run.execution.state),
        (T::Cancelled, X::Cancelled)
    );
}

#[test]
fn a_cancelled_task_that_finished_first_keeps_its_result() {
    let mut run = chain();
    run.grant("a");
    run.send(Command::Cancel { reason: String::new() }).expect("cancel");
    run.report("a", Outcome::Succeeded(Output::new("1")));
    assert_eq!((run.state("a"), run.execution.state), (T::Succeeded, X::Cancelled));
    let mut lost = chain();
    lost.grant("a");
    lost.send(Command::Cancel { reason: String::new() }).expect("cancel");
    lost.lose("a", true);
    assert_eq!((lost.state("a"), lost.execution.state), (T::Cancelled, X::Cancelled));
}

#[test]
fn an_execution_times_out() {
    let mut run = Run::new(json!({"name": "w", "timeout": "10s", "tasks": {"a": noop()}}));
    run.grant("a");
    run.wait_until(10 * SECOND);
    assert_eq!(run.execution.state, X::Cancelling);
    run.report("a", Outcome::Cancelled);
    assert_eq!(run.execution.state, X::TimedOut);
}

#[test]
fn time_limits_of_a_task_hold() {
    let mut run = Run::new(json!({"name": "w", "tasks": {
        "queued": with(noop(), json!({"schedule_to_start_timeout": "5s", "retry": {"max_attempts": 9}})),
        "slow": with(noop(), json!({"timeout": "20s"})),
        "total": with(noop(), json!({"total_timeout": "30s", "retry": {"max_attempts": 9, "initial_interval": "12s", "jitter": 0.0}})),
        "total_running": with(noop(), json!({"total_timeout": "30s"})),
        "total_queued": with(noop(), json!({"total_timeout": "30s"})),
    }}));
    run.grant("slow");
    run.grant("total_running");
    run.fail("total");
    run.wait_until(5 * SECOND);
    assert_eq!(run.state("queued"), T::TimedOut, "never retried");
    run.wait_until(12 * SECOND);
    assert_eq!(run.state("total"), T::Scheduled);
    run.wait_until(13 * SECOND);
    run.grant("total");
    run.wait_until(14 * SECOND);
    run.report("total", Outcome::Failed(Failure::new(FailureKind::User, "E", "x")));
    assert_eq!(
        run.state("total"),
        T::Failed,
        "the next attempt would come after the limit"
    );
    run.wait_until(30 * SECOND);
    assert_eq!(run.state("total_running"), T::TimedOut);
    assert_eq!(run.state("total_queued"), T::TimedOut);
    run.wait_until(35 * SECOND);
    assert_eq!(run.state("slow"), T::TimedOut, "the net below the worker's own limit");
    assert_eq!(run.execution.state, X::Failed);
}

#[test]
fn a_total_limit_also_ends_the_wait_between_attempts() {
    let retry = json!({"max_attempts": 9, "initial_interval": "4s", "max_interval": "4s", "jitter": 0.0});
    let mut run =
        Run::new(json!({"name": "w", "tasks": {"a": with(noop(), json!({"total_timeout": "5s", "retry": retry}))}}));
    run.fail("a");
    assert_eq!(run.state("a"), T::Retrying);
    // The retry's timer comes late: the machine was asleep.
    run.now = 6 * SECOND;
    run.send(Command::TimerFired(Timer::Total { task: TaskKey::of(0) }))
        .expect("due");
    assert_eq!(run.state("a"), T::TimedOut);
    assert!(
        run.task("a").failure.as_ref().expect("failure").message.contains("bad"),
        "it tells the last error"
    );
}

#[test]
fn fail_fast_ends_the_rest() {
    let mut run = Run::new(json!({"name": "w", "fail_fast": true, "tasks": {"a": noop(), "b": noop(), "c": noop()}}));
    run.grant("b");
    run.fail("a");
    assert_eq!((run.execution.state, run.state("c")), (X::Cancelling, T::Cancelled));
    run.report("b", Outcome::Cancelled);
    assert_eq!(run.execution.state, X::Failed);
}
