//! What every stored batch must hold: one writer, a history without gaps that folds to the rows, legal moves, bounded
//! attempts, order, and truth of results.

use std::collections::BTreeSet;

use nexus_engine::{Event, Execution, ExecutionState, Fact, TaskKey, TaskState};
use nexus_execution_store::memory::MemoryStore;
use nexus_execution_store::{Change, ExecutionId, ExecutionRow, Fence, TaskRow};

use super::{Checker, Shadow, Told};
use crate::counts::Counts;
use crate::oracle::{self, Fate};

/// Losses after which a task is poison; the documents say the fifth.
const MAX_INFRA_LOSSES: u32 = 5;

impl Checker {
    /// A batch was applied to the store.
    pub fn committed(&mut self, fence: Fence, changes: &[Change], store: &MemoryStore, counts: &mut Counts) {
        for change in changes {
            self.change(fence, change, counts);
            self.rows_are_the_fold(change, store);
        }
    }

    fn change(&mut self, fence: Fence, change: &Change, counts: &mut Counts) {
        let id = change.execution.id;
        let mut shadow = match self.shadows.remove(&id) {
            Some(shadow) => shadow,
            None => self.fresh(&change.execution),
        };
        self.require(fence.epoch >= shadow.epoch, "I9 single writer", || {
            format!("{id}: epoch {} wrote after {}", fence.epoch, shadow.epoch)
        });
        shadow.epoch = fence.epoch;
        for event in &change.events {
            let due = shadow.execution.sequence + 1;
            if event.sequence != due {
                let what = format!("{id}: event {} where {due} was due", event.sequence);
                self.breach("I9 history without gaps", what);
                break;
            }
            self.before(id, &shadow, event, fence);
            if let Err(refused) = shadow.execution.apply(event) {
                self.breach("I7 listed changes", format!("{id}: {refused}"));
                break;
            }
            self.after(id, &mut shadow, event, counts);
        }
        self.shadows.insert(id, shadow);
    }

    fn fresh(&mut self, row: &ExecutionRow) -> Shadow {
        let known = self.asked.contains_key(&row.id);
        self.require(known, "I1 durable start", || format!("{}: nobody asked for it", row.id));
        let plan = self.plans.iter().find(|plan| plan.workflow == row.workflow);
        let plan = plan.cloned().unwrap_or_else(|| self.plans[0].clone());
        let params = serde_json::from_str(&row.params).unwrap_or_default();
        let seed = row.id.seed();
        Shadow {
            execution: Execution::new(
                row.id.to_string(),
                plan,
                std::sync::Arc::new(params),
                seed,
                row.created_at,
            ),
            epoch: 0,
            told: std::collections::BTreeMap::new(),
            started: std::collections::BTreeMap::new(),
        }
    }

    /// What must hold before an event.
    fn before(&mut self, id: ExecutionId, shadow: &Shadow, event: &Event, fence: Fence) {
        let execution = &shadow.execution;
        self.require(!execution.state.is_terminal(), "I7 terminal is final", || {
            format!("{id}: {:?} after {:?}", event.fact, execution.state)
        });
        match &event.fact {
            Fact::TaskScheduled { task, .. } if execution.tasks()[*task].state == TaskState::Waiting => {
                let fate = oracle::fate(execution, *task);
                self.require(fate == Fate::Runs, "I6 order", || {
                    format!("{id}: task {task} was made ready while its rule says {fate:?}")
                });
            }
            Fact::TaskStarted { task, .. } => {
                let kept = oracle::kept(id, execution.tasks().count()).contains(task);
                self.require(!kept, "I6 what is kept does not run", || {
                    format!("{id}: task {task} was given out while its outcome is kept")
                });
                let closing = execution.closing;
                self.require(closing.is_none(), "I7 cancelled is final", || {
                    format!("{id}: task {task} was given out while the execution was being ended ({closing:?})")
                });
            }
            Fact::TaskFinished {
                task, state, failure, ..
            } if execution.tasks()[*task].state == TaskState::Waiting => {
                let fate = oracle::fate(execution, *task);
                let fits = match state {
                    // Also a task whose condition is false is skipped.
                    TaskState::Skipped => fate == Fate::Skipped || fate == Fate::Runs,
                    TaskState::UpstreamFailed => fate == Fate::UpstreamFailed,
                    TaskState::Cancelled => execution.closing.is_some(),
                    TaskState::Cached => oracle::kept(id, execution.tasks().count()).contains(task),
                    _ => false,
                };
                self.require(fits, "I6 order", || {
                    format!("{id}: waiting task {task} ended {state:?} while its rule says {fate:?} ({failure:?})")
                });
            }
            Fact::TaskFinished {
                task,
                attempt,
                state: TaskState::Succeeded,
                output,
                ..
            } => {
                let output = output
                    .as_ref()
                    .map(|output| output.text().to_string())
                    .unwrap_or_default();
                let era = self.era(fence.epoch);
                let known = self.leases.reported(id, *task, *attempt, era, &output);
                self.require(known, "I8 truth of results", || {
                    format!(
                        "{id}: task {task} attempt {attempt} SUCCEEDED with {output}, which its lease never reported"
                    )
                });
            }
            Fact::ExecutionFinished { state, .. } => self.conclusion(id, execution, *state),
            _ => {}
        }
    }

    fn conclusion(&mut self, id: ExecutionId, execution: &Execution, state: ExecutionState) {
        self.require(execution.open() == 0, "I7 ends once", || {
            format!("{id}: ended with {} open tasks", execution.open())
        });
        let expected = match execution.closing {
            Some(nexus_engine::Closing::Cancelled) => ExecutionState::Cancelled,
            Some(nexus_engine::Closing::TimedOut) => ExecutionState::TimedOut,
            Some(nexus_engine::Closing::FailFast) | None if oracle::succeeded(execution) => ExecutionState::Succeeded,
            Some(nexus_engine::Closing::FailFast) | None => ExecutionState::Failed,
        };
        self.require(state == expected, "I8 truth of results", || {
            format!("{id}: ended {state:?}, its tasks say {expected:?}")
        });
    }

    /// What must hold after an event; also takes note of how attempts ended.
    fn after(&mut self, id: ExecutionId, shadow: &mut Shadow, event: &Event, counts: &mut Counts) {
        match &event.fact {
            Fact::TaskStarted { task, attempt, .. } => {
                let started = shadow.started.entry(*task).or_default();
                *started += 1;
                let (started, attempt) = (*started, *attempt);
                self.require(started == attempt, "I3 unique grant", || {
                    format!("{id}: task {task} attempt {attempt} is the start number {started}")
                });
                let losses = lost(shadow, *task);
                let limit = shadow.execution.plan().task(*task).retry.max_attempts;
                self.require(started - losses <= limit, "I4 bounded attempts", || {
                    format!("{id}: task {task} has {started} starts, {losses} losses and may have {limit} attempts")
                });
            }
            Fact::TaskRetrying { task, attempt, .. } => {
                counts.retries += 1;
                shadow.told.insert((*task, *attempt), Told::Failed);
                self.leases.may_begin_again(id, *task);
            }
            Fact::TaskLost {
                task, attempt, failure, ..
            } => {
                counts.losses += 1;
                counts.leases_expired += u64::from(failure.message.contains("heartbeat"));
                shadow.told.insert((*task, *attempt), Told::Lost);
                let losses = shadow.execution.tasks()[*task].infra_losses;
                self.require(losses < MAX_INFRA_LOSSES, "I4 bounded losses", || {
                    format!("{id}: task {task} goes on after {losses} losses")
                });
            }
            Fact::TaskFinished {
                task,
                attempt,
                state,
                output,
                failure,
            } => {
                let told = match state {
                    TaskState::Succeeded => Told::Succeeded(
                        output
                            .as_ref()
                            .map(|output| output.text().to_string())
                            .unwrap_or_default(),
                    ),
                    TaskState::Failed | TaskState::TimedOut => Told::Failed,
                    _ => Told::Ended,
                };
                shadow.told.insert((*task, *attempt), told);
                counts.kept += u64::from(*state == TaskState::Cached);
                counts.unknown += u64::from(*state == TaskState::Unknown);
                if *state == TaskState::Failed {
                    self.final_failure(id, shadow, *task, failure.as_ref(), counts);
                }
            }
            Fact::ExecutionCancelling { .. } => counts.cancels += 1,
            _ => {}
        }
    }

    /// A task may only fail for good when nothing is left to try.
    fn final_failure(
        &mut self,
        id: ExecutionId,
        shadow: &Shadow,
        task: TaskKey,
        failure: Option<&nexus_engine::Failure>,
        counts: &mut Counts,
    ) {
        let plan = shadow.execution.plan().task(task);
        let started = shadow.started.get(&task).copied().unwrap_or_default();
        let attempts = started - lost(shadow, task);
        let poison = failure.is_some_and(|failure| failure.error_type == "WorkerLost");
        counts.poisoned += u64::from(poison);
        let final_by_itself = failure.is_none_or(|failure| failure.non_retryable);
        // A total limit that would be over before the next attempt ends the retries as well.
        let spent = attempts >= plan.retry.max_attempts || plan.total.is_some() || shadow.execution.closing.is_some();
        let losses = shadow.execution.tasks()[task].infra_losses + u32::from(poison);
        let fits = if poison {
            losses >= MAX_INFRA_LOSSES
        } else {
            final_by_itself || spent
        };
        self.require(fits, "I4 bounded attempts", || {
            format!(
                "{id}: task {task} failed for good after {attempts} of {} attempts and {losses} losses",
                plan.retry.max_attempts
            )
        });
    }

    /// I10: what is stored is the fold of what is told.
    fn rows_are_the_fold(&mut self, change: &Change, store: &MemoryStore) {
        let id = change.execution.id;
        let Some(shadow) = self.shadows.get(&id) else { return };
        let execution = &shadow.execution;
        let touched: BTreeSet<TaskKey> = change.events.iter().filter_map(|event| event.fact.task()).collect();
        let wrong = store.look(id, |stored| {
            let Some(stored) = stored else {
                return Some("it is not stored".to_owned());
            };
            let row = &stored.row;
            let same = (row.state, row.sequence, row.closing, row.finished_at)
                == (
                    execution.state,
                    execution.sequence,
                    execution.closing,
                    execution.finished_at,
                );
            if !same {
                return Some(format!(
                    "the row says {:?}, the history {:?}",
                    row.state, execution.state
                ));
            }
            touched.iter().find_map(|task| {
                let folded = &execution.tasks()[*task];
                let row = stored.tasks.get(&task.number());
                let fits = row.is_some_and(|row| is_same(row, folded));
                (!fits).then(|| format!("task {task}: {row:?} is not {folded:?}"))
            })
        });
        if let Some(wrong) = wrong {
            self.breach("I10 rows are the fold of the history", format!("{id}: {wrong}"));
        }
    }
}

fn is_same(row: &TaskRow, task: &nexus_engine::Task) -> bool {
    let output = task.output.as_ref().map(|output| output.text());
    (row.state, row.leases, row.returned, row.infra_losses)
        == (task.state, task.leases, task.returned, task.infra_losses)
        && (row.scheduled_at, row.ready_at, row.finished_at, row.next_at)
            == (task.scheduled_at, task.ready_at, task.finished_at, task.next_at)
        && (row.output.as_ref(), &row.failure, &row.worker) == (output, &task.failure, &task.worker)
}

fn lost(shadow: &Shadow, task: TaskKey) -> u32 {
    let attempts = shadow.told.range((task, 0)..=(task, u32::MAX));
    let lost = attempts.filter(|(_, told)| **told == Told::Lost).count();
    u32::try_from(lost).unwrap_or(u32::MAX)
}
