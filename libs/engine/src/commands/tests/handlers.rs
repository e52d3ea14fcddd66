//! When a failure is a failure of the execution, and what handles one.

use super::*;
use crate::conclusion::END_RULE;
use crate::event::Fact;

fn task(fields: Value) -> Value {
    with(noop(), fields)
}

/// A workflow whose `load` fails, with these tasks beside it.
fn beside_a_failed_load(tasks: Value, fail_fast: bool) -> Run {
    let tasks = with(json!({"load": noop()}), tasks);
    let mut run = Run::new(json!({"name": "w", "fail_fast": fail_fast, "tasks": tasks}));
    run.fail("load");
    run
}

/// The message of the execution's failure.
fn told(run: &Run) -> &str {
    run.execution.failure.as_ref().map_or("", |failure| &failure.message)
}

#[test]
fn an_alarm_that_was_sent_is_no_repair() {
    for rule in ["one_failed", "all_failed", "all_done", "always", "one_done"] {
        let alarm = json!({"alarm": task(json!({"needs": ["load"], "trigger_rule": rule}))});
        let mut run = beside_a_failed_load(alarm, false);
        run.succeed("alarm", json!(null));
        assert_eq!(
            (run.execution.state, told(&run)),
            (X::Failed, "task load failed: bad"),
            "{rule}"
        );
    }
}

#[test]
fn a_repair_that_succeeded_makes_the_execution_succeed() {
    let tasks = json!({
        "repair": task(json!({"handles": ["load"]})),
        "after": task(json!({"needs": ["load"]})),
        "on": task(json!({"needs": ["load", "repair"], "trigger_rule": "all_done_min_one_success"})),
    });
    let mut run = beside_a_failed_load(tasks.clone(), true);
    assert_eq!(
        (run.state("repair"), run.state("after")),
        (T::Scheduled, T::UpstreamFailed)
    );
    run.succeed("repair", json!(null));
    run.succeed("on", json!(null));
    assert_eq!((run.execution.state, told(&run)), (X::Succeeded, ""));
    let mut well = Run::new(json!({"name": "w", "tasks": with(json!({"load": noop()}), tasks)}));
    well.succeed("load", json!(null));
    assert_eq!(well.state("repair"), T::Skipped, "there was nothing to repair");
    well.succeed("after", json!(null));
    well.succeed("on", json!(null));
    assert_eq!(well.execution.state, X::Succeeded);
}

#[test]
fn a_repair_that_did_not_succeed_has_repaired_nothing() {
    let repair = |fields: Value| json!({"repair": task(with(json!({"handles": ["load"]}), fields))});
    let mut failed = beside_a_failed_load(repair(json!({"continue_on_error": true})), false);
    failed.fail("repair");
    assert_eq!(
        (failed.execution.state, told(&failed)),
        (X::Failed, "task load failed: bad")
    );
    let skipped = beside_a_failed_load(repair(json!({"if": "params.n > 3"})), false);
    assert_eq!(
        (skipped.execution.state, skipped.state("repair")),
        (X::Failed, T::Skipped)
    );
    let never = beside_a_failed_load(repair(json!({"trigger_rule": "none_failed"})), false);
    assert_eq!(
        (never.execution.state, never.state("repair")),
        (X::Failed, T::UpstreamFailed)
    );
}

#[test]
fn a_kept_output_repairs_as_well() {
    let mut run = beside_a_failed_load(json!({"repair": task(json!({"handles": ["load"]}))}), false);
    run.grant("repair");
    run.report("repair", Outcome::Cached(Output::new("1")));
    assert_eq!((run.execution.state, run.state("repair")), (X::Succeeded, T::Cached));
}

#[test]
fn unknown_and_timed_out_tasks_are_failures_that_can_be_handled() {
    for handled in [false, true] {
        let repair = if handled {
            json!({"handles": ["pay"]})
        } else {
            json!({"needs": ["pay"], "trigger_rule": "one_failed"})
        };
        let mut run = Run::new(json!({"name": "w", "tasks": {
            "pay": task(json!({"delivery": "at_most_once"})), "repair": task(repair),
        }}));
        run.grant("pay");
        run.lose("pay", true);
        assert_eq!(run.state("pay"), T::Unknown);
        run.succeed("repair", json!(null));
        let expected = if handled { X::Succeeded } else { X::Failed };
        assert_eq!(run.execution.state, expected);
    }
}

#[test]
fn a_handler_waits_for_all_that_it_handles() {
    for rule in ["one_failed", "always", "one_done"] {
        let mut run = Run::new(json!({"name": "w", "tasks": {
            "a": noop(), "b": noop(), "repair": task(json!({"handles": ["a", "b"], "trigger_rule": rule})),
        }}));
        run.fail("a");
        assert_eq!(run.state("repair"), T::Waiting, "{rule}: b may fail as well");
        let reloaded = run.execution.reloaded();
        assert_eq!(
            (&reloaded.tasks, reloaded.backlog.is_empty()),
            (&run.execution.as_stored().tasks, true)
        );
        run.fail("b");
        run.succeed("repair", json!(null));
        assert_eq!(run.execution.state, X::Succeeded, "{rule}");
    }
}

#[test]
fn the_first_failure_that_is_left_is_told() {
    let mut run = Run::new(json!({"name": "w", "tasks": {
        "a": noop(), "b": noop(), "c": noop(), "repair": task(json!({"handles": ["a"]})),
        "behind": task(json!({"handles": ["between"]})), "between": task(json!({"needs": ["b"]})),
    }}));
    for (at, id) in [(1, "a"), (3, "c"), (2, "b")] {
        run.now = at * SECOND;
        run.fail(id);
    }
    run.succeed("repair", json!(null));
    assert_eq!(run.state("between"), T::UpstreamFailed);
    run.succeed("behind", json!(null));
    assert_eq!(
        told(&run),
        "task b failed: bad",
        "handling what was not run for it handles no failure"
    );
}

#[test]
fn a_failure_of_a_repair_is_one_more_failure() {
    let tasks = json!({
        "repair": task(json!({"handles": ["load"]})),
        "again": task(json!({"handles": ["repair"]})),
        "last": task(json!({"handles": ["load", "repair"], "trigger_rule": "all_failed"})),
    });
    let mut run = beside_a_failed_load(tasks.clone(), false);
    run.fail("repair");
    run.succeed("again", json!(null));
    run.succeed("last", json!(null));
    assert_eq!(run.execution.state, X::Succeeded);
    let mut run = beside_a_failed_load(tasks, false);
    run.fail("repair");
    run.succeed("again", json!(null));
    run.fail("last");
    assert_eq!(
        told(&run),
        "task load failed: bad",
        "only the repair's own failure was handled"
    );
}

#[test]
fn fail_fast_waits_for_those_who_react_and_for_nobody_else() {
    let tasks =
        |reaction: Value| json!({"react": task(reaction), "other": noop(), "next": task(json!({"needs": ["other"]}))});
    let alarm = json!({"needs": ["load"], "trigger_rule": "one_failed"});
    let mut run = beside_a_failed_load(tasks(alarm), true);
    assert_eq!((run.state("react"), run.execution.closing), (T::Scheduled, None));
    run.grant("other");
    run.succeed("react", json!(null));
    assert_eq!(run.execution.closing, Some(crate::state::Closing::FailFast));
    run.report("other", Outcome::Cancelled);
    assert_eq!((run.execution.state, run.state("next")), (X::Failed, T::Cancelled));
    assert!(run.execution.closing_reason.contains("task load failed"));

    let mut run = beside_a_failed_load(tasks(json!({"handles": ["load"]})), true);
    run.succeed("react", json!(null));
    run.succeed("other", json!(null));
    run.succeed("next", json!(null));
    assert_eq!(run.execution.state, X::Succeeded);

    let run = beside_a_failed_load(tasks(json!({"handles": ["load"], "if": "false"})), true);
    assert_eq!((run.execution.state, run.state("other")), (X::Failed, T::Cancelled));

    let run = beside_a_failed_load(tasks(json!({"needs": ["load"], "trigger_rule": "all_done"})), true);
    assert_eq!((run.execution.state, run.state("other")), (X::Failed, T::Cancelled));
}

#[test]
fn an_end_says_by_which_rule_it_was_made_and_older_ends_stay() {
    let mut run = beside_a_failed_load(
        json!({"alarm": task(json!({"needs": ["load"], "trigger_rule": "one_failed"}))}),
        false,
    );
    run.grant("alarm");
    let before = run.execution.clone();
    let (task, attempt) = (run.position("alarm"), 1);
    let outcome = Outcome::Succeeded(Output::new("null"));
    let transition = decide(&mut run.execution, Command::Report { task, attempt, outcome }, run.now).expect("report");
    let Some(Fact::ExecutionFinished { rule, state, .. }) = transition.events.last().map(|event| &event.fact) else {
        panic!("{:?}", transition.events);
    };
    assert_eq!((*rule, *state), (END_RULE, X::Failed));
    // The same history as a version of before told it.
    let mut earlier = before;
    let mut events = transition.events;
    if let Some(Event {
        fact: Fact::ExecutionFinished {
            rule, state, failure, ..
        },
        ..
    }) = events.last_mut()
    {
        (*rule, *state, *failure) = (1, X::Succeeded, None);
    }
    for event in &events {
        earlier.apply(event).expect("a listed change");
    }
    assert_eq!((earlier.state, &earlier.failure), (X::Succeeded, &None));
}
