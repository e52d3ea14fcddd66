//! What an execution refuses, and what of it is restored.

use serde_json::json;

use super::*;
use crate::command::{Command, Rejection};
use crate::commands::decide;
use crate::key::TaskKey;

fn execution() -> Execution {
    let document = json!({"name": "w", "tasks": {"a": {"noop": {}}}});
    let workflow = serde_json::from_value(document).expect("a workflow");
    let plan = Arc::new(Plan::new(&workflow, 1).expect("a plan"));
    Execution::new("x".into(), plan, Arc::default(), 7, 0)
}

fn event(sequence: u64, fact: Fact) -> Event {
    Event { sequence, at: 1, fact }
}

#[test]
fn what_no_table_lists_is_refused_and_changes_nothing() {
    let mut execution = execution();
    let lost = Fact::TaskStarted {
        task: TaskKey::of(0),
        attempt: 1,
        worker: "w".into(),
    };
    let refused = execution.apply(&event(1, lost)).expect_err("it is not ready");
    assert_eq!(
        refused.to_string(),
        "task 0 may not go from Waiting to Running by TaskStarted"
    );
    let early = event(2, Fact::ExecutionStarted);
    assert_eq!(execution.apply(&early), Err(Refused::Sequence { before: 0, found: 2 }));
    let finished = Fact::ExecutionFinished {
        state: ExecutionState::Cancelled,
        output: None,
        failure: None,
        rule: 2,
    };
    assert!(matches!(
        execution.apply(&event(1, finished)),
        Err(Refused::Execution { .. })
    ));
    assert_eq!((execution.sequence, execution.state), (0, ExecutionState::Pending));
    assert_eq!(execution.tasks, super::tests::execution().tasks);
}

#[test]
fn nothing_is_decided_about_what_is_broken() {
    let mut execution = execution();
    decide(&mut execution, Command::Start { kept: Vec::new() }, 0).expect("it begins");
    execution.break_off(Refused::NoTask(TaskKey::of(9)));
    execution.break_off(Refused::NoTask(TaskKey::of(10)));
    let refused = decide(&mut execution, Command::Cancel { reason: String::new() }, 1);
    assert_eq!(refused.expect_err("it is broken"), Rejection::Broken);
    assert_eq!(
        execution.broken(),
        Some(&Refused::NoTask(TaskKey::of(9))),
        "the first is the cause"
    );
    assert!(execution.reloaded().broken().is_none(), "what is stored is whole");
}

#[test]
fn a_task_that_the_plan_does_not_have_is_not_restored() {
    let one = execution();
    let record = ExecutionRecord::accepted(0);
    let tasks = [(TaskKey::of(1), TaskRecord::default())];
    let restored = Execution::restore("x".into(), Arc::clone(one.plan()), Arc::default(), 7, record, tasks);
    assert_eq!(
        restored.expect_err("there is one task"),
        Refused::NoTask(TaskKey::of(1))
    );
}
