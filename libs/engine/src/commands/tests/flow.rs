//! What follows from what: conditions, outputs, reloads.

use super::*;

#[test]
fn conditions_skip_and_broken_ones_fail() {
    let mut run = Run::new(json!({"name": "w", "tasks": {
        "a": noop(),
        "no": with(noop(), json!({"if": "tasks.a.output.n > params.n"})),
        "behind": with(noop(), json!({"needs": ["no"]})),
        "broken": with(noop(), json!({"if": "tasks.a.output.nothing.at.all > 1"})),
    }}));
    run.succeed("a", json!({"n": 3}));
    assert_eq!(
        (run.state("no"), run.state("behind"), run.state("broken")),
        (T::Skipped, T::Skipped, T::Failed)
    );
    assert_eq!(run.execution.state, X::Failed);
    let mut skipped = Run::new(json!({"name": "w", "tasks": {"a": with(noop(), json!({"if": "params.n > 3"}))}}));
    assert_eq!(
        skipped.execution.state,
        X::Succeeded,
        "an execution of skipped tasks has nothing to do"
    );
    assert!(skipped.send(Command::Cancel { reason: String::new() }).is_err());
    let broken = Run::new(json!({"name": "w", "tasks": {"a": with(noop(), json!({"if": "params.zzz > 3"}))}}));
    assert_eq!(broken.execution.state, X::Failed);
}

#[test]
fn an_output_that_cannot_be_evaluated_fails_the_execution() {
    let mut run = Run::new(json!({"name": "w", "tasks": {"a": noop()}, "output": "{{ tasks.a.output.x }}"}));
    run.succeed("a", json!({}));
    assert_eq!(run.execution.state, X::Failed);
    assert_eq!(
        run.execution.failure.as_ref().expect("failure").error_type,
        "Expression"
    );
}

#[test]
fn a_clock_that_was_set_back_prolongs_no_wait() {
    let mut run = Run::new(json!({"name": "w", "timeout": "1h", "tasks": {
        "retrying": with(noop(), json!({"retry": {"max_attempts": 2, "jitter": 0.0}})),
    }}));
    run.fail("retrying");
    let before = -7_200 * SECOND;
    let timers: Vec<(Timer, i64)> = resume(&run.execution, before)
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::SetTimer { timer, at } => Some((timer, at - before)),
            _ => None,
        })
        .collect();
    let retry = Timer::Retry {
        task: TaskKey::of(0),
        attempt: 1,
    };
    assert_eq!(timers, [(Timer::Execution, 3_600 * SECOND), (retry, SECOND)]);
}

#[test]
fn a_reload_owes_what_is_ready_and_what_waits() {
    let mut run = Run::new(json!({"name": "w", "timeout": "1h", "tasks": {
        "ready": noop(), "retrying": with(noop(), json!({"retry": {"max_attempts": 2, "jitter": 0.0}})),
        "done": noop(), "waiting": with(noop(), json!({"needs": ["ready"]})),
    }}));
    run.fail("retrying");
    run.succeed("done", json!(1));
    let reloaded = run.execution.reloaded();
    assert_eq!(
        (reloaded.open, &reloaded.tasks),
        (run.execution.open, &run.execution.as_stored().tasks)
    );
    let owed = resume(&reloaded, 0);
    assert!(owed.contains(&Effect::SetTimer {
        timer: Timer::Retry {
            task: TaskKey::of(1),
            attempt: 1
        },
        at: SECOND
    }));
    assert!(owed.contains(&Effect::SetTimer {
        timer: Timer::Execution,
        at: 3_600 * SECOND
    }));
    let dispatches = owed.iter().filter(|effect| {
        matches!(
            effect,
            Effect::Dispatch {
                task: TaskKey { node: 0, index: 0 },
                attempt: 1,
                ..
            }
        )
    });
    assert_eq!((dispatches.count(), owed.len()), (1, 3));
}

#[test]
fn a_long_chain_of_skips_needs_no_stack_and_linear_time() {
    let mut tasks = serde_json::Map::new();
    tasks.insert("t0".into(), with(noop(), json!({"if": "params.n > 3"})));
    for n in 1..5_000 {
        tasks.insert(format!("t{n}"), with(noop(), json!({"needs": [format!("t{}", n - 1)]})));
    }
    let mut run = Run::new(json!({"name": "w", "tasks": tasks}));
    let mut slices = 1;
    while run.effects.contains(&Effect::Continue) {
        run.effects.clear();
        run.send(Command::Continue).expect("continue");
        slices += 1;
    }
    assert_eq!((run.execution.state, slices), (X::Succeeded, 5));
}

#[test]
fn only_outputs_that_an_expression_looks_at_are_wanted() {
    let run = Run::new(json!({"name": "w", "tasks": {
        "in_input": noop(), "in_condition": noop(), "in_output": noop(), "only_needed": noop(),
        "last": {"if": "tasks.in_condition.output is none", "needs": ["only_needed"],
                 "noop": {"output": "{{ tasks.in_input.output }}"}},
    }, "output": "{{ tasks.in_output.output }}"}));
    let wanted: Vec<&str> = run
        .execution
        .plan
        .tasks
        .iter()
        .filter(|task| task.wanted)
        .map(|task| &*task.id)
        .collect();
    assert_eq!(wanted, ["in_input", "in_condition", "in_output"]);
}

#[test]
fn cycles_and_unknown_tasks_are_refused() {
    let workflow =
        |tasks: Value| -> Workflow { serde_json::from_value(json!({"name": "w", "tasks": tasks})).expect("workflow") };
    let cycle =
        workflow(json!({"a": with(noop(), json!({"needs": ["b"]})), "b": with(noop(), json!({"needs": ["a"]}))}));
    assert!(
        Plan::new(&cycle, 1)
            .expect_err("cycle")
            .to_string()
            .contains("cycle between the tasks a, b")
    );
    let broken = workflow(json!({"a": {"noop": {"output": "{{ 1 + }}"}}}));
    assert!(Plan::new(&broken, 1).is_err());
}

/// A start that is given outcomes: what holds does not run, what depends on it sees it, and everything else is as ever.
#[test]
fn outcomes_that_are_kept_do_not_run_again() {
    let document = json!({"name": "w", "tasks": {
        "a": noop(),
        "b": with(noop(), json!({"needs": ["a"]})),
        "c": with(noop(), json!({"needs": ["b"], "if": "tasks.a.output.n == 1 and tasks.a.state == 'CACHED'"})),
    }});
    let kept = |of: &[(u32, &str)]| -> Vec<(TaskKey, Output)> {
        let of = of.iter();
        of.map(|(node, output)| (TaskKey::of(*node), Output::new((*output).to_owned())))
            .collect()
    };
    let mut run = Run::keeping(document.clone(), kept(&[(0, r#"{"n":1}"#), (7, "null")]));
    assert_eq!(
        (run.state("a"), run.state("b"), run.state("c")),
        (T::Cached, T::Scheduled, T::Waiting)
    );
    assert_eq!((run.task("a").leases, run.dispatched()), (0, vec!["b"]));
    run.succeed("b", json!(null));
    run.succeed("c", json!(null));
    assert_eq!(run.execution.state, X::Succeeded);

    // What was kept between others that were not: the hole runs, and what needs it waits for it.
    let mut hole = Run::keeping(document.clone(), kept(&[(1, "null")]));
    assert_eq!(
        (hole.state("a"), hole.state("b"), hole.state("c")),
        (T::Scheduled, T::Cached, T::Waiting)
    );
    hole.succeed("a", json!({"n": 2}));
    assert_eq!((hole.state("c"), hole.execution.state), (T::Skipped, X::Succeeded));

    let all = Run::keeping(document, kept(&[(0, "null"), (1, "null"), (2, "null")]));
    assert_eq!((all.execution.state, all.execution.open), (X::Succeeded, 0));
    assert!(
        all.moved
            .contains(&(X::Pending, EventKind::ExecutionFinished, X::Succeeded))
    );
}
