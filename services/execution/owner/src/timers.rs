//! Timers of all live executions, earliest first, on the steady clock: setting the machine's clock neither fires nor
//! delays one. A timer whose subject has moved on is refused by the engine when it
//! fires; all of an execution's timers are forgotten with it.

use std::collections::BTreeMap;

use nexus_engine::Timer;
use nexus_execution_store::ExecutionId;

#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeMap<(i64, u64), (ExecutionId, Timer)>,
    // Tells timers of the same microsecond apart.
    set: u64,
}

impl Timers {
    /// Sets a timer and gives the key to forget it by.
    pub(crate) fn set(&mut self, at: i64, execution: ExecutionId, timer: Timer) -> (i64, u64) {
        self.set += 1;
        self.queue.insert((at, self.set), (execution, timer));
        (at, self.set)
    }

    /// Forgets timers of an execution that has ended; those that have fired already are not there any more.
    pub(crate) fn forget(&mut self, keys: &[(i64, u64)]) {
        for key in keys {
            self.queue.remove(key);
        }
    }

    /// When the earliest is due.
    pub(crate) fn next(&self) -> Option<i64> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the earliest that is due.
    pub(crate) fn take_due(&mut self, now: i64) -> Option<(ExecutionId, Timer)> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop_first().map(|(_, due)| due)
    }
}

#[cfg(test)]
mod tests {
    use nexus_engine::TaskKey;

    use super::*;
    use uuid::Uuid;

    #[test]
    fn timers_come_due_in_order_and_not_before() {
        let id = ExecutionId(Uuid::nil());
        let mut timers = Timers::default();
        let forgotten = timers.set(15, id, Timer::Total { task: TaskKey::of(9) });
        timers.forget(&[forgotten, (3, 3)]);
        timers.set(20, id, Timer::Execution);
        timers.set(10, id, Timer::Total { task: TaskKey::of(1) });
        timers.set(10, id, Timer::Total { task: TaskKey::of(2) });
        assert_eq!(timers.next(), Some(10));
        assert_eq!(timers.take_due(9), None);
        assert_eq!(timers.take_due(10), Some((id, Timer::Total { task: TaskKey::of(1) })));
        assert_eq!(timers.take_due(10), Some((id, Timer::Total { task: TaskKey::of(2) })));
        assert_eq!(timers.take_due(19), None);
        assert_eq!(timers.take_due(25), Some((id, Timer::Execution)));
        assert_eq!(timers.next(), None);
    }
}
