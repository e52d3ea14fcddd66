//! Large graphs are decided in slices, and end as if they had been decided at once.

use std::sync::Arc;

use serde_json::{Value, json};

use super::SLICE;
use crate::{
    Command, Effect, Execution, ExecutionState, Outcome, Output, Plan, Rejection, TaskKey, TaskState, decide, resume,
};

fn execution(document: Value) -> Execution {
    let workflow = serde_json::from_value(document).expect("workflow");
    let plan = Arc::new(Plan::new(&workflow, 1).expect("plan"));
    Execution::new("x".into(), plan, Arc::new(json!({})), 7, 0)
}

/// A root, `n` tasks that need it, and one that needs them all.
fn star(n: usize) -> Value {
    let mut tasks = serde_json::Map::new();
    tasks.insert("root".into(), json!({"noop": {}}));
    for leaf in 0..n {
        tasks.insert(format!("leaf{leaf}"), json!({"needs": ["root"], "noop": {}}));
    }
    let all: Vec<String> = (0..n).map(|leaf| format!("leaf{leaf}")).collect();
    tasks.insert("join".into(), json!({"needs": all, "noop": {}}));
    json!({"name": "star", "tasks": tasks})
}

/// Sends a command and every Continue that follows; gives the effects and how large the largest decision was.
fn send(execution: &mut Execution, command: Command) -> (Vec<Effect>, usize) {
    let mut next = Some(command);
    let (mut effects, mut largest) = (Vec::new(), 0);
    while let Some(command) = next.take() {
        let transition = decide(execution, command, 1).expect("decision");
        largest = largest.max(transition.events.len());
        for effect in transition.effects {
            match effect {
                Effect::Continue => next = Some(Command::Continue),
                other => effects.push(other),
            }
        }
    }
    (effects, largest)
}

fn run(execution: &mut Execution, task: TaskKey) {
    let attempt = execution.tasks[task].leases + 1;
    let worker = "w".into();
    send(execution, Command::Grant { task, attempt, worker });
    let outcome = Outcome::Succeeded(Output::new("1"));
    send(execution, Command::Report { task, attempt, outcome });
}

#[test]
fn a_wide_graph_is_scheduled_in_slices() {
    let mut execution = execution(star(10_000));
    send(&mut execution, Command::Start { kept: Vec::new() });
    let (worker, attempt, task) = ("w".into(), 1, TaskKey::of(0));
    send(&mut execution, Command::Grant { task, attempt, worker });
    let outcome = Outcome::Succeeded(Output::new("1"));
    let (effects, largest) = send(&mut execution, Command::Report { task, attempt, outcome });
    assert!(largest <= SLICE + 1, "a decision had {largest} events");
    let offered = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Dispatch { .. }));
    assert_eq!(offered.count(), 10_000, "every leaf is offered once");
    for leaf in 1..=10_001 {
        run(&mut execution, TaskKey::of(leaf));
    }
    assert_eq!(execution.state, ExecutionState::Succeeded);
}

#[test]
fn what_ends_between_slices_waits_for_its_turn_and_is_not_lost() {
    let mut execution = execution(star(20));
    execution.slice = 3;
    decide(&mut execution, Command::Start { kept: Vec::new() }, 1).expect("start");
    let worker = "w".into();
    let grant = Command::Grant {
        task: TaskKey::of(0),
        attempt: 1,
        worker,
    };
    decide(&mut execution, grant, 1).expect("grant");
    let outcome = Outcome::Succeeded(Output::new("1"));
    let report = Command::Report {
        task: TaskKey::of(0),
        attempt: 1,
        outcome,
    };
    let cut = decide(&mut execution, report, 1).expect("report");
    assert!(cut.effects.contains(&Effect::Continue) && cut.events.len() <= 4);
    // The first leaves end while the slice after them is still owed.
    run(&mut execution, TaskKey::of(1));
    run(&mut execution, TaskKey::of(2));
    send(&mut execution, Command::Continue);
    for leaf in 3..=21 {
        run(&mut execution, TaskKey::of(leaf));
    }
    assert_eq!(execution.state, ExecutionState::Succeeded);
}

#[test]
fn a_reload_in_the_middle_of_the_slices_owes_the_rest() {
    let mut original = execution(star(20));
    original.slice = 3;
    decide(&mut original, Command::Start { kept: Vec::new() }, 1).expect("start");
    let worker = "w".into();
    decide(
        &mut original,
        Command::Grant {
            task: TaskKey::of(0),
            attempt: 1,
            worker,
        },
        1,
    )
    .expect("grant");
    let outcome = Outcome::Succeeded(Output::new("1"));
    decide(
        &mut original,
        Command::Report {
            task: TaskKey::of(0),
            attempt: 1,
            outcome,
        },
        1,
    )
    .expect("report");
    let mut loaded = original.reloaded();
    assert_eq!(
        (&loaded.tasks, loaded.open),
        (&original.as_stored().tasks, original.open)
    );
    assert!(resume(&loaded, 1).contains(&Effect::Continue));
    send(&mut loaded, Command::Continue);
    let ready = loaded
        .tasks
        .iter()
        .filter(|(_, task)| task.state == TaskState::Scheduled);
    assert_eq!(ready.count(), 20);
}

#[test]
fn a_cancel_reaches_every_task_in_slices_and_nothing_is_given_out_meanwhile() {
    let mut execution = execution(star(5_000));
    send(&mut execution, Command::Start { kept: Vec::new() });
    run(&mut execution, TaskKey::of(0));
    let worker: Arc<str> = "w".into();
    let grant = |task| Command::Grant {
        task,
        attempt: 1,
        worker: Arc::clone(&worker),
    };
    send(&mut execution, grant(TaskKey::of(4_999)));
    let cancel = Command::Cancel {
        reason: "enough".into(),
    };
    let cut = decide(&mut execution, cancel, 1).expect("cancel");
    assert!(cut.effects.contains(&Effect::Continue));
    assert_eq!(
        decide(&mut execution, grant(TaskKey::of(4_000)), 1).expect_err("closing"),
        Rejection::Stale
    );
    let (effects, largest) = send(&mut execution, Command::Continue);
    assert!(largest <= SLICE + 1);
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::CancelAttempt { task, .. } if *task == TaskKey::of(4_999)))
    );
    assert_eq!((execution.open, execution.state), (1, ExecutionState::Cancelling));
    let outcome = Outcome::Cancelled;
    send(
        &mut execution,
        Command::Report {
            task: TaskKey::of(4_999),
            attempt: 1,
            outcome,
        },
    );
    assert_eq!(execution.state, ExecutionState::Cancelled);
}
