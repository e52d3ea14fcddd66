//! What the documents say of trigger rules and of how an execution ends, written down a second time and in another way
//! than the engine: over sets of ends instead of tallies.

use nexus_engine::{Execution, TaskState};
use nexus_spec::model::TriggerRule;

/// How a needed task counts for those that need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Good,
    Bad,
    Skipped,
}

/// What a rule leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing can be said yet.
    Open,
    /// The task may run.
    Runs,
    /// It is skipped.
    Skipped,
    /// It ends UPSTREAM_FAILED.
    UpstreamFailed,
}

fn ends(execution: &Execution, task: u32) -> Vec<End> {
    let end = |need: &u32| {
        let forgiven = execution.plan.tasks[*need as usize].continue_on_error;
        match execution.tasks[*need as usize].state {
            TaskState::Succeeded | TaskState::Cached => End::Good,
            TaskState::Skipped => End::Skipped,
            TaskState::Failed | TaskState::TimedOut | TaskState::Unknown if forgiven => End::Good,
            TaskState::Failed
            | TaskState::TimedOut
            | TaskState::Unknown
            | TaskState::UpstreamFailed
            | TaskState::Cancelled => End::Bad,
            _ => End::Open,
        }
    };
    execution.plan.tasks[task as usize].needs.iter().map(end).collect()
}

/// What becomes of a task, by how the tasks that it needs stand.
#[must_use]
pub fn fate(execution: &Execution, task: u32) -> Fate {
    let ends = ends(execution, task);
    let any = |end| ends.contains(&end);
    let all = |end| ends.iter().all(|other| *other == end);
    let over = !any(End::Open);
    let when = |holds: bool, fate| if holds { fate } else { Fate::Open };
    match execution.plan.tasks[task as usize].rule {
        TriggerRule::AllSuccess if any(End::Bad) => Fate::UpstreamFailed,
        TriggerRule::AllSuccess if over && any(End::Skipped) => Fate::Skipped,
        TriggerRule::AllSuccess => when(all(End::Good), Fate::Runs),
        TriggerRule::AllFailed if any(End::Good) || any(End::Skipped) => Fate::Skipped,
        TriggerRule::AllFailed => when(all(End::Bad), Fate::Runs),
        TriggerRule::AllDone => when(over, Fate::Runs),
        TriggerRule::AllDoneMinOneSuccess if over && any(End::Good) => Fate::Runs,
        TriggerRule::AllDoneMinOneSuccess if over && any(End::Bad) => Fate::UpstreamFailed,
        TriggerRule::AllDoneMinOneSuccess => when(over, Fate::Skipped),
        TriggerRule::AllSkipped if any(End::Good) || any(End::Bad) => Fate::Skipped,
        TriggerRule::AllSkipped => when(all(End::Skipped), Fate::Runs),
        TriggerRule::OneFailed if any(End::Bad) => Fate::Runs,
        TriggerRule::OneFailed => when(over, Fate::Skipped),
        TriggerRule::OneSuccess if any(End::Good) => Fate::Runs,
        TriggerRule::OneSuccess if over && any(End::Bad) => Fate::UpstreamFailed,
        TriggerRule::OneSuccess => when(over, Fate::Skipped),
        TriggerRule::OneDone if any(End::Good) || any(End::Bad) => Fate::Runs,
        TriggerRule::OneDone => when(over, Fate::Skipped),
        TriggerRule::NoneFailed | TriggerRule::NoneFailedMinOneSuccess if any(End::Bad) => Fate::UpstreamFailed,
        TriggerRule::NoneFailed => when(over, Fate::Runs),
        TriggerRule::NoneFailedMinOneSuccess if over && any(End::Good) => Fate::Runs,
        TriggerRule::NoneFailedMinOneSuccess => when(over, Fate::Skipped),
        TriggerRule::NoneSkipped if any(End::Skipped) => Fate::Skipped,
        TriggerRule::NoneSkipped => when(over, Fate::Runs),
        TriggerRule::Always => Fate::Runs,
    }
}

/// Whether an execution whose tasks have all ended by themselves has succeeded: every task that failed is forgiven, or
/// handled by one that asks for failures and succeeded.
#[must_use]
pub fn succeeded(execution: &Execution) -> bool {
    (0..execution.tasks.len()).all(|task| {
        let state = execution.tasks[task].state;
        let failed = matches!(state, TaskState::Failed | TaskState::TimedOut | TaskState::Unknown);
        !failed || execution.plan.tasks[task].continue_on_error || is_handled(execution, task)
    })
}

fn is_handled(execution: &Execution, task: usize) -> bool {
    let mut plans = execution.plan.tasks.iter().zip(&execution.tasks);
    plans.any(|(plan, state)| {
        let asks = matches!(plan.rule, TriggerRule::OneFailed | TriggerRule::AllFailed);
        asks && plan.needs.contains(&(u32::try_from(task).unwrap_or(u32::MAX))) && state.state == TaskState::Succeeded
    })
}
