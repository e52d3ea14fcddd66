//! How an execution goes on: when a task has ended, the tasks that need it are judged, and when none is left the
//! execution ends. Iterative, so that a chain of skips of any length costs no stack.

use std::sync::Arc;

use nexus_spec::model::TriggerRule;

use crate::closing::close;
use crate::conclusion::{finish_if_done, has_failed, is_handled};
use crate::decision::Decision;
use crate::event::Fact;
use crate::execution::Execution;
use crate::failure::{Failure, FailureKind};
use crate::key::TaskKey;
use crate::offer::schedule;
use crate::rules::{Verdict, judge};
use crate::state::{Closing, TaskState};

/// Goes on after a task has ended.
pub(crate) fn after(decision: &mut Decision<'_>, task: TaskKey) {
    if let Some(culprit) = fails_fast(decision.execution, task) {
        let id = &decision.execution.plan.task(culprit).id;
        let reason = format!("task {id} failed and the workflow says fail_fast");
        close(decision, Closing::FailFast, reason);
        return;
    }
    let plan = Arc::clone(&decision.execution.plan);
    let dependants = plan.dependants(task);
    decision.execution.backlog.judge.extend(dependants);
    advance(decision);
}

/// Judges waiting tasks, and whatever their verdicts set free, until nothing moves.
///
/// A backlog that is being worked off in slices is left to them.
pub(crate) fn advance(decision: &mut Decision<'_>) {
    let plan = Arc::clone(&decision.execution.plan);
    while !decision.execution.backlog.continued
        && let Some(task) = decision.execution.backlog.judge.pop_front()
    {
        if let Some(end) = judge_task(decision, task) {
            decision.record(end);
            if fails_fast(decision.execution, task).is_some() {
                return after(decision, task);
            }
            let dependants = plan.dependants(task);
            decision.execution.backlog.judge.extend(dependants);
        }
        if decision.is_full() && !decision.execution.backlog.judge.is_empty() {
            decision.go_on_later();
        }
    }
    finish_if_done(decision);
}

/// Judges one waiting task. A task that may run is scheduled here; one that will not run is ended by the fact that is
/// given back.
fn judge_task(decision: &mut Decision<'_>, task: TaskKey) -> Option<Fact> {
    let current = &decision.execution.tasks[task];
    if current.state != TaskState::Waiting || !decision.execution.mode().may_start() {
        return None;
    }
    let plan = decision.execution.plan.task(task);
    let end = |state, failure| {
        Some(Fact::TaskFinished {
            task,
            attempt: 0,
            state,
            output: None,
            failure,
        })
    };
    match judge(plan.rule, current.tally) {
        Verdict::Wait => None,
        Verdict::Skip => end(TaskState::Skipped, None),
        Verdict::UpstreamFailed => {
            let culprit = failed_need(decision.execution, task);
            let message = format!("not run: task {culprit} did not succeed");
            end(
                TaskState::UpstreamFailed,
                Some(Failure::new(FailureKind::User, "UpstreamFailed", message)),
            )
        }
        Verdict::Run => match condition_holds(decision.execution, task) {
            Ok(true) => {
                schedule(decision, task);
                None
            }
            Ok(false) => end(TaskState::Skipped, None),
            Err(failure) => end(TaskState::Failed, Some(failure)),
        },
    }
}

fn condition_holds(execution: &Execution, task: TaskKey) -> Result<bool, Failure> {
    let Some(condition) = &execution.plan.task(task).condition else {
        return Ok(true);
    };
    let scope = execution.scope(&condition.references().tasks, "");
    condition
        .eval(&scope)
        .map_err(|error| Failure::expression(format!("if: {error}")))
}

fn failed_need(execution: &Execution, task: TaskKey) -> String {
    let failed = execution.plan.needs(task).find(|need| {
        let state = execution.tasks[*need].state;
        state.is_terminal() && !matches!(state, TaskState::Succeeded | TaskState::Cached | TaskState::Skipped)
    });
    failed.map_or_else(String::new, |need| execution.plan.task(need).id.clone())
}

/// The failure that must end the whole execution now that a task has ended: its own, or one that waited for it.
fn fails_fast(execution: &Execution, task: TaskKey) -> Option<TaskKey> {
    let plan = &execution.plan;
    if !plan.fail_fast || execution.mode().is_closing() {
        return None;
    }
    let needs = plan.needs(task);
    let waited = needs.filter(|needed| reacts(execution, task, *needed));
    std::iter::once(task).chain(waited).find(|failed| {
        // A task that repairs the failure, or tells of it, must get the chance to run.
        let mut dependants = plan.dependants(*failed);
        has_failed(execution, *failed)
            && !is_handled(execution, *failed)
            && !dependants.any(|dependant| {
                let ended = execution.tasks[dependant].state.is_terminal();
                !ended && reacts(execution, dependant, *failed)
            })
    })
}

/// Whether a task is there for the failure of another, which it needs.
fn reacts(execution: &Execution, task: TaskKey, failed: TaskKey) -> bool {
    let rule = execution.plan.task(task).rule;
    matches!(rule, TriggerRule::OneFailed | TriggerRule::AllFailed)
        || execution.plan.handlers(failed).any(|handler| handler == task)
}
