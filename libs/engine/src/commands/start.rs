//! Start: judges every task that waits for nothing. Also what an execution is owed after a reload.

use super::{Decision, Rejection};
use crate::effect::{Effect, Timer};
use crate::event::Fact;
use crate::execution::Execution;
use crate::key::TaskKey;
use crate::planted::{Bug, planted};
use crate::progress;
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
    progress::advance(decision);
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

/// Dispatches and timers that the state calls for.
pub(super) fn owed(execution: &Execution) -> Vec<Effect> {
    if execution.state.is_terminal() {
        return vec![Effect::Close];
    }
    let mut effects: Vec<Effect> = deadline(execution).into_iter().collect();
    if !execution.backlog.is_empty() {
        effects.push(Effect::Continue);
    }
    for (key, task) in execution.tasks.iter() {
        match task.state {
            TaskState::Scheduled if planted(Bug::DispatchForgottenOnReload) => {}
            TaskState::Scheduled => effects.extend(progress::offer(execution, key)),
            TaskState::Retrying if planted(Bug::RetryForgottenOnReload) => {}
            TaskState::Retrying => {
                let timer = Timer::Retry {
                    task: key,
                    attempt: task.leases,
                };
                effects.push(Effect::SetTimer {
                    timer,
                    at: task.next_at.unwrap_or_default(),
                });
            }
            // Its lease goes on under a new owner.
            TaskState::Running => {}
            _ => continue,
        }
        effects.extend(progress::total_timer(execution, key));
    }
    effects
}

/// How long a timer may wait at most.
pub(super) fn longest_wait(execution: &Execution, timer: Timer) -> i64 {
    let span = |span: Option<nexus_spec::Span>| span.map_or(i64::MAX, nexus_spec::Span::micros);
    match timer {
        Timer::Execution => span(execution.plan.timeout),
        Timer::Total { task } => span(execution.plan.task(task).total),
        Timer::ScheduleToStart { task, .. } => span(execution.plan.task(task).schedule_to_start),
        Timer::Attempt { .. } => i64::MAX,
        Timer::Retry { task, .. } => {
            let current = &execution.tasks[task];
            super::report::wait(execution, task, current.failure.as_ref())
        }
    }
}

fn deadline(execution: &Execution) -> Option<Effect> {
    let timeout = execution.plan.timeout?;
    let at = execution.created_at.saturating_add(timeout.micros());
    Some(Effect::SetTimer {
        timer: Timer::Execution,
        at,
    })
}
