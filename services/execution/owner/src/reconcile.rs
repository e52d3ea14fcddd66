//! The reconciler: ready tasks that nobody has taken for long are offered again, in case their pointers were lost.

use nexus_engine::TaskState;
use nexus_engine::planted::{Bug, planted};
use nexus_execution_store::ExecutionId;
use nexus_streams::Entry;

use super::executions::Executions;
use super::live::Live;
use super::outputs::entry;

/// A ready task that nobody took for this many microseconds may have lost its pointer.
const UNTAKEN: i64 = 10_000_000;
/// Tasks that are offered again in one round at most; the next round goes on behind them.
const ROUND: usize = 10_000;

/// How far it has come.
#[derive(Debug, Default)]
pub(crate) struct Reconciler {
    /// Where the next round of offers begins.
    offered_to: Option<ExecutionId>,
    /// Where offering everything once more goes on, while it does.
    lost_from: Option<ExecutionId>,
}

impl Reconciler {
    /// One round. It begins where the last one ended, so every task has its turn however many wait. `now` is the wall clock.
    pub(crate) fn round(&mut self, executions: &Executions, now: i64) -> Vec<Entry> {
        let mut entries = Vec::new();
        if planted(Bug::NoReconciler) || planted(Bug::DispatchForgottenOnReload) {
            return entries;
        }
        // A task that is ready since a time to come became so before the clock was set back.
        let is_untaken = |ready_at: i64| ready_at <= now - UNTAKEN || ready_at > now;
        let from = self.offered_to.take();
        let behind = executions.range(from.unwrap_or_default()..);
        let before = executions.range(..from.unwrap_or_default());
        for (id, live) in behind.chain(before) {
            if entries.len() >= ROUND {
                self.offered_to = Some(*id);
                break;
            }
            untaken(live, is_untaken, &mut entries);
        }
        entries
    }

    /// The dispatcher lost what it had: everything ready is offered once more, from now on.
    pub(crate) fn pointers_lost(&mut self) {
        self.lost_from = Some(ExecutionId::default());
    }

    /// Whether something of that is left.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost_from.is_some()
    }

    /// A part of everything that is ready, as long as something is left of it.
    pub(crate) fn lost_round(&mut self, executions: &Executions) -> Vec<Entry> {
        let mut entries = Vec::new();
        let Some(from) = self.lost_from.take() else {
            return entries;
        };
        for (id, live) in executions.range(from..) {
            if entries.len() >= ROUND {
                self.lost_from = Some(*id);
                break;
            }
            untaken(live, |_| true, &mut entries);
        }
        entries
    }
}

fn untaken(live: &Live, is_untaken: impl Fn(i64) -> bool, entries: &mut Vec<Entry>) {
    for (key, task) in live.execution.tasks().iter() {
        if task.state != TaskState::Scheduled || !live.is_stored(key) || !task.ready_at.is_some_and(&is_untaken) {
            continue;
        }
        let plan = live.execution.plan().task(key);
        let (queue, attempt) = (plan.queue.clone(), task.current_attempt());
        entries.push(entry(live.id, key, attempt, queue, plan.priority));
    }
}
