//! Whole executions, step by step. Together these tests take every line of the tables of transitions.

mod attempts;
mod ending;
mod flow;
mod handlers;

use std::collections::BTreeSet;
use std::sync::Arc;

use nexus_spec::Workflow;
use serde_json::{Value, json};

use super::*;
use crate::command::Outcome;
use crate::effect::{Effect, Timer};
use crate::event::{Event, EventKind};
use crate::failure::{Failure, FailureKind};
use crate::key::TaskKey;
use crate::plan::Plan;
use crate::resume::resume;
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
        Self::keeping(document, Vec::new())
    }

    /// A run whose execution is given outputs that hold.
    fn keeping(document: Value, kept: Vec<(TaskKey, Output)>) -> Self {
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
        run.send(Command::Start { kept }).expect("start");
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
            let from = event.fact.task().map(|task| folded.tasks[task].state);
            let execution_from = folded.state;
            folded.apply(event).expect("a listed change");
            match (event.fact.task(), from) {
                (Some(task), Some(from)) => {
                    self.taken.insert((from, event.fact.kind(), folded.tasks[task].state));
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

    fn position(&self, id: &str) -> TaskKey {
        self.execution.plan.find(id).expect("a task")
    }

    fn task(&self, id: &str) -> &crate::Task {
        &self.execution.tasks[self.position(id)]
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
            Effect::Dispatch { task, .. } => Some(self.execution.plan.task(*task).id.as_str()),
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
    run.send(Command::TimerFired(Timer::Total { task: TaskKey::of(0) }))
        .expect("due");
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

    keep(Run::keeping(one(json!({})), vec![(TaskKey::of(0), Output::new("1"))]));

    let listed: BTreeSet<_> = TASK_TRANSITIONS.iter().copied().collect();
    assert_eq!(tasks, listed);
    let listed: BTreeSet<_> = EXECUTION_TRANSITIONS.iter().copied().collect();
    assert_eq!(executions, listed);
}
