//! What an execution is owed after its state was loaded from a store, and from its beginning.

use crate::attempt::wait;
use crate::effect::{Effect, Timer};
use crate::execution::Execution;
use crate::offer::{offer, total_timer};
use crate::planted::{Bug, planted};
use crate::state::TaskState;

/// The effects that an execution is owed after its state was loaded from a store: dispatches of what is ready and
/// timers of what waits. Nothing is owed for attempts that run: their leases are taken over, or end with [`crate::Command::Lose`].
///
/// No wait is longer than the workflow asks for, counted from `now`: if the clock was set back since, a retry that was
/// due in a second must not be due in an hour.
#[must_use]
pub fn resume(execution: &Execution, now: i64) -> Vec<Effect> {
    let mut effects = owed(execution);
    for effect in &mut effects {
        if let Effect::SetTimer { timer, at } = effect {
            *at = (*at).min(now.saturating_add(longest_wait(execution, *timer)));
        }
    }
    effects
}

/// Dispatches and timers that the state calls for.
fn owed(execution: &Execution) -> Vec<Effect> {
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
            TaskState::Scheduled => effects.extend(offer(execution, key)),
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
        effects.extend(total_timer(execution, key));
    }
    effects
}

/// How long a timer may wait at most.
fn longest_wait(execution: &Execution, timer: Timer) -> i64 {
    let span = |span: Option<nexus_spec::Span>| span.map_or(i64::MAX, nexus_spec::Span::micros);
    match timer {
        Timer::Execution => span(execution.plan.timeout),
        Timer::Total { task } => span(execution.plan.task(task).total),
        Timer::ScheduleToStart { task, .. } => span(execution.plan.task(task).schedule_to_start),
        Timer::Attempt { .. } => i64::MAX,
        Timer::Retry { task, .. } => {
            let current = &execution.tasks[task];
            wait(execution, task, current.failure.as_ref())
        }
    }
}

/// The timer over the whole execution.
pub(crate) fn deadline(execution: &Execution) -> Option<Effect> {
    let timeout = execution.plan.timeout?;
    let at = execution.created_at.saturating_add(timeout.micros());
    Some(Effect::SetTimer {
        timer: Timer::Execution,
        at,
    })
}
