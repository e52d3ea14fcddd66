//! How an execution ends when none of its tasks is open: well, or with the failure that nothing handled.

use nexus_spec::model::TriggerRule;

use crate::decision::Decision;
use crate::effect::Effect;
use crate::event::Fact;
use crate::execution::Execution;
use crate::failure::{Failure, FailureKind};
use crate::key::TaskKey;
use crate::planted::{Bug, planted};
use crate::state::{Closing, ExecutionState, Output, TaskState};

/// The rule by which executions are concluded, as it stands in their last event. 1, of before `handles`: a failure was
/// handled when a task that needs it under `one_failed` or `all_failed` succeeded. 2: when a task that names it in
/// `handles` succeeded. What has ended stays as it ended, so readers of histories know both.
pub const END_RULE: u32 = 2;

/// Ends the execution when no task is left.
pub(crate) fn finish_if_done(decision: &mut Decision<'_>) {
    if decision.execution.open > 0 || decision.execution.state.is_terminal() {
        return;
    }
    let fact = conclude(decision.execution);
    decision.record(fact);
    decision.then(Effect::Close);
}

/// How an execution without open tasks ends.
fn conclude(execution: &Execution) -> Fact {
    let finished = |state, output, failure| Fact::ExecutionFinished {
        state,
        output,
        failure,
        rule: END_RULE,
    };
    let reason = &execution.closing_reason;
    match execution.closing {
        Some(Closing::Cancelled) => {
            let failure = Failure::new(FailureKind::Cancelled, "Cancelled", reason);
            return finished(ExecutionState::Cancelled, None, Some(failure));
        }
        Some(Closing::TimedOut) => {
            let failure = Failure::new(FailureKind::Timeout, "ExecutionTimeout", reason);
            return finished(ExecutionState::TimedOut, None, Some(failure));
        }
        Some(Closing::FailFast) | None => {}
    }
    if let Some(failure) = first_unhandled(execution) {
        return finished(ExecutionState::Failed, None, Some(failure));
    }
    let Some(template) = &execution.plan.output else {
        return finished(ExecutionState::Succeeded, None, None);
    };
    let scope = execution.scope(&template.references().tasks, "");
    match template.render(&scope) {
        Ok(rendered) => {
            let output = Output::new(rendered.value.to_string());
            finished(ExecutionState::Succeeded, Some(output), None)
        }
        Err(error) => {
            let failure = Failure::expression(format!("output: {error}"));
            finished(ExecutionState::Failed, None, Some(failure))
        }
    }
}

/// The earliest failure that nothing handled, told as the execution's.
fn first_unhandled(execution: &Execution) -> Option<Failure> {
    let unhandled = execution
        .tasks
        .iter()
        .filter(|(key, _)| has_failed(execution, *key) && !is_handled(execution, *key));
    let (key, task) = unhandled.min_by_key(|(_, task)| task.finished_at)?;
    let id = &execution.plan.task(key).id;
    let cause = task.failure.clone().unwrap_or_default();
    Some(Failure {
        message: format!("task {id} failed: {}", cause.message),
        stack_trace: String::new(),
        ..cause
    })
}

/// Whether a task failed by itself (not for want of another) and may not simply go on.
pub(crate) fn has_failed(execution: &Execution, task: TaskKey) -> bool {
    let state = execution.tasks[task].state;
    let failed = matches!(state, TaskState::Failed | TaskState::TimedOut | TaskState::Unknown);
    failed && !execution.plan.task(task).continue_on_error
}

/// Whether a task that names this one in `handles` succeeded. One that only ran because of the failure has told of it,
/// and a failure that was told of is still one.
pub(crate) fn is_handled(execution: &Execution, task: TaskKey) -> bool {
    let succeeded = |handler: TaskKey| {
        let state = execution.tasks[handler].state;
        matches!(state, TaskState::Succeeded | TaskState::Cached)
    };
    let plan = &execution.plan;
    plan.handlers(task).any(succeeded)
        || (planted(Bug::AlarmTakenForRepair)
            && plan.dependants(task).any(|alarm| {
                let rule = execution.plan.task(alarm).rule;
                matches!(rule, TriggerRule::OneFailed | TriggerRule::AllFailed) && succeeded(alarm)
            }))
}
