//! A task that is ready: it is offered to the workers, and its waits have timers.

use crate::decision::Decision;
use crate::effect::{Effect, Timer};
use crate::event::Fact;
use crate::execution::Execution;
use crate::key::TaskKey;

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
