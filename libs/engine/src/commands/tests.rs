//! Whole executions, step by step. Together these tests take every line of the tables of transitions.

use std::collections::BTreeSet;
use std::sync::Arc;

use nexus_spec::Workflow;
use serde_json::{Value, json};

use super::*;
use crate::effect::Timer;
use crate::event::EventKind;
use crate::failure::FailureKind;
use crate::plan::Plan;
use crate::state::{ExecutionState as X, Output, TaskState as T};
use crate::transitions::{EXECUTION_TRANSITIONS, TASK_TRANSITIONS};

const SECOND: i64 = 1_000_000;

/// An execution under test, with its time and everything that happened.
struct Run {
    execution: Execution,
    now: i64,
    effects: Vec<Effect>,
    taken: BTreeSet<(T, EventKind, T)>,
    moved: BTreeSet<(X, EventKind, X)>,
}

impl Run {
    fn new(document: Value) -> Self {
        let workflow: Workflow = serde_json::from_value(document).expect("workflow");
        let plan = Arc::new(Plan::new(&workflow, 1).expect("plan"));
        let execution = Execution::new("x".into(), plan, Arc::new(json!({"n": 3})), 7, 0);
        let mut run = Self {
            execution,
            now: 0,
            effects: Vec::new(),
            taken: BTreeSet::new(),
            moved: BTreeSet::new(),
        };
        run.send(Command::Start).expect("start");
        run
    }

    fn send(&mut self, command: Command) -> Result<(), Rejection> {
        let before = self.execution.clone();
        let transition = match decide(&mut self.execution, command, self.now) {
            Ok(transition) => transition,
            Err(rejection) => {
                assert_eq!(
                    before.sequence, self.execution.sequence,
                    "a rejected command changes nothing"
                );
                return Err(rejection);
            }
        };
        // State is the fold of the events.
        let mut folded = before;
        for event in &transition.events {
            let from = event.fact.task().map(|task| folded.tasks[task as usize].state);
            let execution_from = folded.state;
            folded.apply(event);
            match (event.fact.task(), from) {
                (Some(task), Some(from)) => {
                    self.taken
                        .insert((from, event.fact.kind(), folded.tasks[task as usize].state));
                }
                _ => {
                    self.moved.insert((execution_from, event.fact.kind(), folded.state));
                }
            }
        }
        assert_eq!(folded.tasks, self.execution.tasks);
        assert_eq!(
            (folded.state, folded.sequence, folded.open),
            (self.execution.state, self.execution.sequence, self.execution.open)
        );
        self.effects.extend(transition.effects);
        Ok(())
    }

    fn position(&self, id: &str) -> u32 {
        self.execution.plan.index[id]
    }

    fn task(&self, id: &str) -> &crate::state::Task {
        &self.execution.tasks[self.position(id) as usize]
    }

    fn state(&self, id: &str) -> T {
        self.task(id).state
    }

    fn grant(&mut self, id: &str) {
        let (task, attempt) = (self.position(id), self.task(id).leases + 1);
        self.send(Command::Grant {
            task,
            attempt,
            worker: "w".into(),
        })
        .expect("grant");
    }

    fn report(&mut self, id: &str, outcome: Outcome) {
        let (task, attempt) = (self.position(id), self.task(id).leases);
        self.send(Command::Report { task, attempt, outcome }).expect("report");
    }

    fn succeed(&mut self, id: &str, output: Value) {
        self.grant(id);
        self.report(id, Outcome::Succeeded(Output::new(output.to_string())));
    }

    fn fail(&mut self, id: &str) {
        self.grant(id);
        self.report(
            id,
            Outcome::Failed(Failure::new(FailureKind::User, "ValueError", "bad")),
        );
    }

    fn lose(&mut self, id: &str, counted: bool) {
        let (task, attempt) = (self.position(id), self.task(id).leases);
        self.send(Command::Lose {
            task,
            attempt,
            reason: "gone".into(),
            counted,
        })
        .expect("lose");
    }

    /// Fires the timers that are due at a time.
    fn wait_until(&mut self, at: i64) {
        self.now = at;
        let due: Vec<Timer> = self
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::SetTimer { timer, at: due } if *due <= at => Some(*timer),
                _ => None,
            })
            .collect();
        self.effects
            .retain(|effect| !matches!(effect, Effect::SetTimer { at: due, .. } if *due <= at));
        for timer in due {
            let _stale_is_fine = self.send(Command::TimerFired(timer));
        }
    }

    fn dispatched(&self) -> Vec<&str> {
        let tasks = self.effects.iter().filter_map(|effect| match effect {
            Effect::Dispatch { task, .. } => Some(self.execution.plan.tasks[*task as usize].id.as_str()),
            _ => None,
        });
        tasks.collect()
    }
}

fn noop() -> Value {
    json!({"noop": {}})
}

fn with(mut task: Value, fields: Value) -> Value {
    if let (Some(task), Value::Object(fields)) = (task.as_object_mut(), fields) {
        task.extend(fields);
    }
    task
}

fn chain() -> Run {
    Run::new(json!({"name": "chain", "tasks": {
        "a": noop(), "b": {"noop": {"output": "{{ tasks.a.output.x }}"}}, "c": with(noop(), json!({"needs": ["b"]})),
    }, "output": {"x": "{{ tasks.a.output.x }}"}}))
}

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
    assert_eq!(run.send(Command::Start), Err(Rejection::AlreadyStarted));
    assert_eq!(run.send(report(0, 1)), Err(Rejection::Stale), "nobody holds it");
    assert_eq!(run.send(grant(1, 1)), Err(Rejection::Stale), "it is not ready");
    assert_eq!(run.send(grant(0, 2)), Err(Rejection::Stale), "not this attempt");
    assert_eq!(run.send(grant(99, 1)), Err(Rejection::Stale), "no such task");
    run.send(grant(0, 1)).expect("grant");
    assert_eq!(run.send(grant(0, 1)), Err(Rejection::Stale), "it is leased already");
    run.send(report(0, 1)).expect("report");
    assert_eq!(run.send(report(0, 1)), Err(Rejection::Stale), "it came twice");
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
        .expect("cancelling twice is no error");
    assert_eq!(run.execution.state, X::Cancelling);
    for id in ["ready", "waiting", "retrying"] {
        assert_eq!(run.state(id), T::Cancelled, "{id}");
    }
    assert!(run.effects.contains(&Effect::CancelAttempt {
        task: 0,
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
    run.send(Command::TimerFired(Timer::Total { task: 0 })).expect("due");
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

#[test]
fn a_handled_failure_is_no_failure() {
    let tasks = json!({
        "a": noop(), "rescue": with(noop(), json!({"needs": ["a"], "trigger_rule": "one_failed"})),
        "after": with(noop(), json!({"needs": ["a"]})),
    });
    let mut run = Run::new(json!({"name": "w", "fail_fast": true, "tasks": tasks}));
    run.fail("a");
    assert_eq!(
        (run.state("rescue"), run.state("after")),
        (T::Scheduled, T::UpstreamFailed)
    );
    run.succeed("rescue", json!(null));
    assert_eq!(run.execution.state, X::Succeeded);
    let mut forgiven = Run::new(json!({"name": "w", "tasks": {
        "a": with(noop(), json!({"continue_on_error": true})), "b": with(noop(), json!({"needs": ["a"]})),
    }}));
    forgiven.fail("a");
    forgiven.succeed("b", json!(null));
    assert_eq!(forgiven.execution.state, X::Succeeded);
    let mut hidden = Run::new(json!({"name": "w", "tasks": {
        "a": noop(), "b": with(noop(), json!({"needs": ["a"], "trigger_rule": "all_done"})),
    }}));
    hidden.fail("a");
    hidden.succeed("b", json!(null));
    assert_eq!(
        hidden.execution.state,
        X::Failed,
        "an all_done leaf does not hide a failure"
    );
}

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
    let retry = Timer::Retry { task: 0, attempt: 1 };
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
    let mut reloaded = run.execution.clone();
    reloaded.open = 0;
    for task in &mut reloaded.tasks {
        task.tally = crate::rules::Tally::default();
    }
    reloaded.rebuild();
    assert_eq!(
        (reloaded.open, &reloaded.tasks),
        (run.execution.open, &run.execution.tasks)
    );
    let owed = resume(&reloaded, 0);
    assert!(owed.contains(&Effect::SetTimer {
        timer: Timer::Retry { task: 1, attempt: 1 },
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
                task: 0,
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
            .contains("a, b wait for each other")
    );
    let broken = workflow(json!({"a": {"noop": {"output": "{{ 1 + }}"}}}));
    assert!(Plan::new(&broken, 1).is_err());
}

/// Runs enough of everything to see that the tables list what happens and nothing that cannot.
#[test]
fn every_listed_transition_is_taken() {
    let mut tasks = BTreeSet::new();
    let mut executions = BTreeSet::new();
    let mut keep = |run: Run| {
        tasks.extend(run.taken);
        executions.extend(run.moved);
    };
    let one = |fields: Value| json!({"name": "w", "tasks": {"a": with(noop(), fields)}});
    let cancel = || Command::Cancel { reason: String::new() };

    let mut run = chain();
    for id in ["a", "b", "c"] {
        run.succeed(id, json!({"x": 1}));
    }
    keep(run);
    let mut run = Run::new(json!({"name": "w", "tasks": {"a": noop(), "b": with(noop(), json!({"needs": ["a"]}))}}));
    run.fail("a");
    keep(run);
    keep(Run::new(one(json!({"if": "params.n > 3"}))));
    keep(Run::new(one(json!({"if": "params.zzz"}))));
    let mut run = chain();
    run.send(cancel()).expect("cancel");
    keep(run);
    for (limit, states) in [("schedule_to_start_timeout", 0), ("total_timeout", 1)] {
        let mut run = Run::new(one(json!({limit: "1s"})));
        for _ in 0..states {
            run.grant("a");
        }
        run.wait_until(SECOND);
        keep(run);
    }
    let mut run = Run::new(one(json!({"cache": {"ttl": "1h"}})));
    run.grant("a");
    run.report("a", Outcome::Cached(Output::new("1")));
    keep(run);
    let mut run = Run::new(one(json!({"delivery": "at_most_once"})));
    run.grant("a");
    run.lose("a", true);
    keep(run);
    let mut run = Run::new(one(json!({"retry": {"max_attempts": 3, "jitter": 0.0}})));
    run.fail("a");
    run.wait_until(SECOND);
    run.grant("a");
    run.lose("a", true);
    run.fail("a");
    run.send(cancel()).expect("cancel");
    keep(run);
    let mut run = Run::new(one(json!({"total_timeout": "9s", "retry": {"max_attempts": 3}})));
    run.fail("a");
    run.send(Command::TimerFired(Timer::Total { task: 0 })).expect("due");
    keep(run);
    let mut run = Run::new(one(json!({})));
    run.grant("a");
    run.send(cancel()).expect("cancel");
    run.report("a", Outcome::Cancelled);
    keep(run);
    let mut run = Run::new(json!({"name": "w", "timeout": "1s", "tasks": {"a": noop()}}));
    run.grant("a");
    run.wait_until(SECOND);
    run.report("a", Outcome::Cancelled);
    keep(run);
    let mut run = Run::new(json!({"name": "w", "fail_fast": true, "tasks": {"a": noop(), "b": noop()}}));
    run.fail("a");
    keep(run);

    let listed: BTreeSet<_> = TASK_TRANSITIONS.iter().copied().collect();
    assert_eq!(tasks, listed);
    let listed: BTreeSet<_> = EXECUTION_TRANSITIONS.iter().copied().collect();
    assert_eq!(executions, listed);
}
