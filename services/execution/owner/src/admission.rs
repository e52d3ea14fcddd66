//! How much the owner takes on. Starts beyond it are refused with a delay, before memory grows; what was accepted is
//! carried through.

use std::time::Duration;

use super::core::Core;
use super::messages::OwnerError;

/// How much may be in memory at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Executions that are not terminal.
    pub executions: usize,
    /// Tasks of those, in whatever state. One takes about 400 bytes.
    pub tasks: u64,
    /// Bytes of params and outputs of those.
    pub bytes: u64,
    /// Bytes of params and outputs of one execution.
    pub bytes_of_one: u64,
    /// About how many events one decision may have; the rest is left to the next one.
    pub slice: usize,
    /// Answers and effects that wait for a commit.
    pub waiting: usize,
    /// Microseconds for which a decision may wait for its commit before new work is refused.
    pub commit_lag: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            executions: 200_000,
            tasks: 2_000_000,
            bytes: 1 << 30,
            bytes_of_one: 256 << 20,
            slice: nexus_engine::SLICE,
            waiting: 100_000,
            commit_lag: 2_000_000,
        }
    }
}

/// How large something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) tasks: u64,
    pub(super) bytes: u64,
}

/// How much is in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    total: Size,
}

impl Load {
    pub(super) fn add(&mut self, size: Size) {
        self.total.tasks += size.tasks;
        self.total.bytes += size.bytes;
    }

    pub(super) fn remove(&mut self, size: Size) {
        self.total.tasks = self.total.tasks.saturating_sub(size.tasks);
        self.total.bytes = self.total.bytes.saturating_sub(size.bytes);
    }
}

impl Core {
    /// Whether an execution of that size may be started now.
    pub(super) fn admit(&self, new: Size) -> Result<(), OwnerError> {
        let limits = &self.limits;
        let refuse = |what, delay| Err(OwnerError::Overloaded { what, delay });
        if self.executions.len() >= limits.executions {
            return refuse("too many executions are live", Duration::from_secs(5));
        }
        // An execution that alone is larger than the limit may run when nothing else does.
        let alone = self.executions.is_empty();
        if !alone && self.load.total.tasks + new.tasks > limits.tasks {
            return refuse("the live executions have too many tasks", Duration::from_secs(5));
        }
        if !alone && self.load.total.bytes + new.bytes > limits.bytes {
            let what = "the params and outputs of the live executions are too large";
            return refuse(what, Duration::from_secs(5));
        }
        if self.waiting() >= limits.waiting {
            return refuse(
                "more work arrives than can be stored at present",
                Duration::from_secs(1),
            );
        }
        let lag = self.oldest_unstored().map_or(0, |since| self.now.steady - since);
        if lag > limits.commit_lag {
            return refuse("the store is slow at present", Duration::from_secs(1));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Now;
    use nexus_execution_store::Fence;
    use nexus_execution_store::Ids;

    fn core(limits: Limits) -> Core {
        let fence = Fence {
            owner: uuid::Uuid::nil(),
            epoch: 1,
        };
        Core::new(fence, Ids::system(), limits, Now { wall: 0, steady: 0 })
    }

    #[test]
    fn limits_hold_just_above_and_not_just_below() {
        let limits = Limits {
            tasks: 10,
            bytes: 100,
            ..Limits::default()
        };
        let mut core = core(limits);
        let size = |tasks, bytes| Size { tasks, bytes };
        core.load.add(size(6, 60));
        assert!(core.admit(size(5, 50)).is_ok(), "nothing else is live");
        core.executions.insert(
            nexus_execution_store::ExecutionId(uuid::Uuid::nil()),
            crate::live::tests::live(),
        );
        assert!(core.admit(size(4, 40)).is_ok());
        assert!(core.admit(size(5, 0)).is_err());
        assert!(core.admit(size(0, 41)).is_err());
        core.load.remove(size(6, 60));
        assert!(core.admit(size(10, 100)).is_ok());
        core.limits.executions = 1;
        assert!(core.admit(size(0, 0)).is_err());
    }

    #[test]
    fn a_store_that_lags_behind_stops_new_work_and_nothing_else() {
        let mut core = core(Limits::default());
        core.pending
            .mark(nexus_execution_store::ExecutionId(uuid::Uuid::nil()), true, 0);
        core.now.steady = 2_000_000;
        assert!(core.admit(Size::default()).is_ok());
        core.now.steady = 2_000_001;
        let refused = core.admit(Size::default()).expect_err("lag");
        assert!(matches!(refused, OwnerError::Overloaded { delay, .. } if delay == Duration::from_secs(1)));
    }
}
