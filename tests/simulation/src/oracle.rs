//! What the documents say of trigger rules and of how an execution ends, written down a second time and in another way
//! than the engine: over sets of ends instead of tallies.

use nexus_engine::{Execution, TaskKey, TaskState};
use nexus_execution::ExecutionId;
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

fn ends(execution: &Execution, task: TaskKey) -> Vec<End> {
    let end = |need: TaskKey| {
        let forgiven = execution.plan().task(need).continue_on_error;
        match execution.tasks()[need].state {
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
    execution.plan().needs(task).map(end).collect()
}

/// What becomes of a task, by how the tasks that it needs stand. One that handles failures runs after all of those
/// that it handles.
#[must_use]
pub fn fate(execution: &Execution, task: TaskKey) -> Fate {
    let mut handled = execution.plan().task(task).handles.iter().copied().map(TaskKey::of);
    let all_over = handled.all(|handled| execution.tasks()[handled].state.is_terminal());
    match by_the_rule(execution, task) {
        Fate::Runs if !all_over => Fate::Open,
        fate => fate,
    }
}

fn by_the_rule(execution: &Execution, task: TaskKey) -> Fate {
    let ends = ends(execution, task);
    let any = |end| ends.contains(&end);
    let all = |end| ends.iter().all(|other| *other == end);
    let over = !any(End::Open);
    let when = |holds: bool, fate| if holds { fate } else { Fate::Open };
    match execution.plan().task(task).rule {
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

/// The tasks that an execution is given outcomes of: none of most, some of every eighth. Its id decides, so that a start that
/// is made again asks for the same.
#[must_use]
pub fn kept(id: ExecutionId, tasks: u32) -> Vec<TaskKey> {
    let chance = nexus_engine::splitmix(id.seed() ^ 0x6b65_7074);
    if !chance.is_multiple_of(8) {
        return Vec::new();
    }
    let is_kept = |task: &TaskKey| nexus_engine::splitmix(chance ^ u64::from(task.number())).is_multiple_of(2);
    (0..tasks).map(TaskKey::of).filter(is_kept).collect()
}

/// Whether an execution whose tasks have all ended by themselves has succeeded: every task that failed is forgiven, or
/// named in `handles` of one that succeeded.
#[must_use]
pub fn succeeded(execution: &Execution) -> bool {
    let tasks = || execution.tasks().iter();
    let repaired: Vec<TaskKey> = tasks()
        .filter(|(_, task)| matches!(task.state, TaskState::Succeeded | TaskState::Cached))
        .flat_map(|(key, _)| execution.plan().task(key).handles.iter().copied().map(TaskKey::of))
        .collect();
    tasks().all(|(key, task)| {
        let failed = matches!(task.state, TaskState::Failed | TaskState::TimedOut | TaskState::Unknown);
        !failed || execution.plan().task(key).continue_on_error || repaired.contains(&key)
    })
}
