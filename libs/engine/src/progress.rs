//! How an execution goes on: when a task has ended, the tasks that need it are judged, and when none is left the
//! execution ends. Iterative, so that a chain of skips of any length costs no stack.

use std::sync::Arc;

use nexus_spec::model::TriggerRule;

use crate::commands::Decision;
use crate::effect::{Effect, Timer};
use crate::event::Fact;
use crate::execution::Execution;
use crate::failure::{Failure, FailureKind};
use crate::key::TaskKey;
use crate::planted::{Bug, planted};
use crate::rules::{Verdict, judge};
use crate::state::{Closing, ExecutionState, Output, TaskState};

/// The rule by which executions are concluded, as it stands in their last event. 1, of before `handles`: a failure was
/// handled when a task that needs it under `one_failed` or `all_failed` succeeded. 2: when a task that names it in
/// `handles` succeeded. What has ended stays as it ended, so readers of histories know both.
pub const END_RULE: u32 = 2;

/// Goes on after a task has ended.
pub(crate) fn after(decision: &mut Decision<'_>, task: TaskKey) {
    if let Some(culprit) = fails_fast(decision.execution, task) {
        let id = &decision.execution.plan.task(culprit).id;
        let reason = format!("task {id} failed and the workflow says fail_fast");
        crate::commands::close(decision, Closing::FailFast, reason);
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

/// Makes a task ready: records it and offers it to the workers.
pub(crate) fn schedule(decision: &mut Decision<'_>, task: TaskKey) {
    let current = &decision.execution.tasks[task];
    let first = current.scheduled_at.is_none();
    let attempt = current.leases + 1;
    decision.record(Fact::TaskScheduled { task, attempt });
    let mut effects = offer(decision.execution, task);
    if first {
        effects.extend(total_timer(decision.execution, task));
    }
    decision.transition.effects.extend(effects);
}

/// The effects that a ready task is owed: its dispatch, and the timer of its wait.
pub(crate) fn offer(execution: &Execution, task: TaskKey) -> Vec<Effect> {
    let plan = execution.plan.task(task);
    let current = &execution.tasks[task];
    let attempt = current.leases + 1;
    let mut effects = vec![Effect::Dispatch {
        task,
        attempt,
        queue: plan.queue.clone(),
        priority: plan.priority,
    }];
    if let (Some(limit), Some(ready_at)) = (plan.schedule_to_start, current.ready_at) {
        let timer = Timer::ScheduleToStart { task, attempt };
        effects.push(Effect::SetTimer {
            timer,
            at: ready_at.saturating_add(limit.micros()),
        });
    }
    effects
}

/// The timer over all attempts of a task that is or was ready.
pub(crate) fn total_timer(execution: &Execution, task: TaskKey) -> Option<Effect> {
    let total = execution.plan.task(task).total?;
    let at = execution.tasks[task].scheduled_at?.saturating_add(total.micros());
    Some(Effect::SetTimer {
        timer: Timer::Total { task },
        at,
    })
}

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
fn has_failed(execution: &Execution, task: TaskKey) -> bool {
    let state = execution.tasks[task].state;
    let failed = matches!(state, TaskState::Failed | TaskState::TimedOut | TaskState::Unknown);
    failed && !execution.plan.task(task).continue_on_error
}

/// Whether a task that names this one in `handles` succeeded. One that only ran because of the failure has told of it,
/// and a failure that was told of is still one.
fn is_handled(execution: &Execution, task: TaskKey) -> bool {
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

/// Whether a task is there for the failure of another, which it needs.
fn reacts(execution: &Execution, task: TaskKey, failed: TaskKey) -> bool {
    let rule = execution.plan.task(task).rule;
    matches!(rule, TriggerRule::OneFailed | TriggerRule::AllFailed)
        || execution.plan.handlers(failed).any(|handler| handler == task)
}
