//! Start: judges every task that waits for nothing.

use crate::command::Rejection;
use crate::decision::Decision;
use crate::event::Fact;
use crate::key::TaskKey;
use crate::planted::{Bug, planted};
use crate::progress::advance;
use crate::resume::deadline;
use crate::state::{Output, TaskState};

pub(super) fn start(decision: &mut Decision<'_>, kept: Vec<(TaskKey, Output)>) -> Result<(), Rejection> {
    if decision.execution.sequence > 0 {
        return Err(Rejection::AlreadyStarted);
    }
    decision.record(Fact::ExecutionCreated);
    if let Some(effect) = deadline(decision.execution) {
        decision.then(effect);
    }
    keep(decision, kept);
    decision.execution.backlog.judge = decision.execution.tasks.keys().collect();
    advance(decision);
    Ok(())
}

/// Ends tasks with outputs that are kept. All of it is one decision, however many there are: it is what the execution is
/// made of, and an owner that dies between two parts of it would not know the second one.
fn keep(decision: &mut Decision<'_>, mut kept: Vec<(TaskKey, Output)>) {
    if planted(Bug::KeptForgotten) {
        kept.pop();
    }
    for (task, output) in kept {
        let waits = decision.execution.tasks.get(task).map(|task| task.state) == Some(TaskState::Waiting);
        if waits {
            decision.record(Fact::TaskFinished {
                task,
                attempt: 0,
                state: TaskState::Cached,
                output: Some(output),
                failure: None,
            });
        }
    }
}
