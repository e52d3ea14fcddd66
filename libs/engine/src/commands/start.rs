//! Start: judges every task that waits for nothing. Also what an execution is owed after a reload.

use super::{Decision, Rejection};
use crate::effect::{Effect, Timer};
use crate::event::Fact;
use crate::execution::Execution;
use crate::planted::{Bug, planted};
use crate::progress;
use crate::state::TaskState;

pub(super) fn start(decision: &mut Decision<'_>) -> Result<(), Rejection> {
    if decision.execution.sequence > 0 {
        return Err(Rejection::AlreadyStarted);
    }
    decision.record(Fact::ExecutionCreated);
    if let Some(effect) = deadline(decision.execution) {
        decision.then(effect);
    }
    let roots = 0..u32::try_from(decision.execution.tasks.len()).unwrap_or(u32::MAX);
    decision.execution.backlog.judge = roots.collect();
    progress::advance(decision);
    Ok(())
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
    for (position, task) in (0..).zip(&execution.tasks) {
        match task.state {
            TaskState::Scheduled if planted(Bug::DispatchForgottenOnReload) => {}
            TaskState::Scheduled => effects.extend(progress::offer(execution, position)),
            TaskState::Retrying if planted(Bug::RetryForgottenOnReload) => {}
            TaskState::Retrying => {
                let timer = Timer::Retry {
                    task: position,
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
        effects.extend(progress::total_timer(execution, position));
    }
    effects
}

/// How long a timer may wait at most.
pub(super) fn longest_wait(execution: &Execution, timer: Timer) -> i64 {
    let span = |span: Option<nexus_spec::Span>| span.map_or(i64::MAX, nexus_spec::Span::micros);
    match timer {
        Timer::Execution => span(execution.plan.timeout),
        Timer::Total { task } => span(execution.plan.tasks[task as usize].total),
        Timer::ScheduleToStart { task, .. } => span(execution.plan.tasks[task as usize].schedule_to_start),
        Timer::Attempt { .. } => i64::MAX,
        Timer::Retry { task, .. } => {
            let current = &execution.tasks[task as usize];
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
