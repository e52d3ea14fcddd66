//! The reconciler: ready tasks that nobody has taken for long are offered again, in case their pointers were lost.

use nexus_engine::TaskState;
use nexus_engine::planted::{Bug, planted};
use nexus_execution_store::ExecutionId;
use nexus_streams::{Entry, Pointer};

use super::core::Core;
use super::live::Live;
use super::release::lane;

/// A ready task that nobody took for this many microseconds may have lost its pointer.
const UNTAKEN: i64 = 10_000_000;
/// Tasks that are offered again in one round at most; the next round goes on behind them.
const ROUND: usize = 10_000;

impl Core {
    /// One round. It begins where the last one ended, so every task has its turn however many wait.
    pub(super) fn offer_again(&mut self) {
        if planted(Bug::NoReconciler) || planted(Bug::DispatchForgottenOnReload) {
            return;
        }
        let now = self.now.wall;
        // A task that is ready since a time to come became so before the clock was set back.
        let is_untaken = |ready_at: i64| ready_at <= now - UNTAKEN || ready_at > now;
        let mut entries = Vec::new();
        let from = self.offered_to.take();
        let behind = self.executions.range(from.unwrap_or_default()..);
        let before = self.executions.range(..from.unwrap_or_default());
        for (id, live) in behind.chain(before) {
            if entries.len() >= ROUND {
                self.offered_to = Some(*id);
                break;
            }
            untaken(live, is_untaken, &mut entries);
        }
        self.offered_again(entries);
    }

    /// The dispatcher lost what it had: everything ready is offered once more, from the next tick on.
    pub fn pointers_lost(&mut self) {
        self.lost_from = Some(ExecutionId::default());
    }

    /// Offers a part of everything that is ready, as long as something is left of it.
    pub(super) fn offer_lost(&mut self) {
        let Some(from) = self.lost_from.take() else { return };
        let mut entries = Vec::new();
        for (id, live) in self.executions.range(from..) {
            if entries.len() >= ROUND {
                self.lost_from = Some(*id);
                break;
            }
            untaken(live, |_| true, &mut entries);
        }
        self.offered_again(entries);
    }

    fn offered_again(&mut self, entries: Vec<Entry>) {
        if !entries.is_empty() {
            tracing::debug!(tasks = entries.len(), "ready tasks that nobody took are offered again");
            crate::metrics::offered_again(entries.len());
            self.stats.offered_again += entries.len() as u64;
        }
        self.publish(entries);
    }
}

fn untaken(live: &Live, is_untaken: impl Fn(i64) -> bool, entries: &mut Vec<Entry>) {
    for (key, task) in live.execution.tasks().iter() {
        if task.state != TaskState::Scheduled || !live.is_stored(key) || !task.ready_at.is_some_and(&is_untaken) {
            continue;
        }
        let plan = live.execution.plan().task(key);
        entries.push(Entry {
            queue: plan.queue.clone(),
            lane: lane(plan.priority),
            pointer: Pointer {
                execution: live.id.bytes(),
                task: key.number(),
                attempt: task.current_attempt(),
            },
        });
    }
}
