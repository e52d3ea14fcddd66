//! How much the owner takes on. Starts beyond it are refused with a delay, before memory grows; what was accepted is
//! carried through.

use std::time::Duration;

use super::messages::OwnerError;

/// When to try again: once executions have ended, or once something was stored.
const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_secs(1);

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
pub(crate) struct Size {
    pub(crate) tasks: u64,
    pub(crate) bytes: u64,
}

/// How much is in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    total: Size,
}

impl Load {
    /// Whether an execution of that size may be taken in beside `live` others.
    pub(crate) fn admit(&self, new: Size, live: usize, limits: &Limits) -> Result<(), OwnerError> {
        if live >= limits.executions {
            return refuse("too many executions are live", LONG);
        }
        // An execution that alone is larger than the limit may run when nothing else does.
        let alone = live == 0;
        if !alone && self.total.tasks + new.tasks > limits.tasks {
            return refuse("the live executions have too many tasks", LONG);
        }
        if !alone && self.total.bytes + new.bytes > limits.bytes {
            return refuse("the params and outputs of the live executions are too large", LONG);
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, size: Size) {
        self.total.tasks += size.tasks;
        self.total.bytes += size.bytes;
    }

    pub(crate) fn remove(&mut self, size: Size) {
        self.total.tasks = self.total.tasks.saturating_sub(size.tasks);
        self.total.bytes = self.total.bytes.saturating_sub(size.bytes);
    }
}

/// Whether more may be decided while so much waits for its commit, and for so long, in microseconds.
pub(crate) fn admit_waiting(waiting: usize, lag: i64, limits: &Limits) -> Result<(), OwnerError> {
    if waiting >= limits.waiting {
        return refuse("more work arrives than can be stored at present", SHORT);
    }
    if lag > limits.commit_lag {
        return refuse("the store is slow at present", SHORT);
    }
    Ok(())
}

fn refuse(what: &'static str, delay: Duration) -> Result<(), OwnerError> {
    Err(OwnerError::Overloaded { what, delay })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_just_above_and_not_just_below() {
        let mut limits = Limits {
            tasks: 10,
            bytes: 100,
            ..Limits::default()
        };
        let mut load = Load::default();
        let size = |tasks, bytes| Size { tasks, bytes };
        load.add(size(6, 60));
        assert!(load.admit(size(5, 50), 0, &limits).is_ok(), "nothing else is live");
        assert!(load.admit(size(4, 40), 1, &limits).is_ok());
        assert!(load.admit(size(5, 0), 1, &limits).is_err());
        assert!(load.admit(size(0, 41), 1, &limits).is_err());
        load.remove(size(6, 60));
        assert!(load.admit(size(10, 100), 1, &limits).is_ok());
        limits.executions = 1;
        assert!(load.admit(size(0, 0), 1, &limits).is_err());
    }

    #[test]
    fn a_store_that_lags_behind_stops_new_work_and_nothing_else() {
        let limits = Limits::default();
        assert!(admit_waiting(1, 2_000_000, &limits).is_ok());
        let refused = admit_waiting(1, 2_000_001, &limits).expect_err("lag");
        assert!(matches!(refused, OwnerError::Overloaded { delay, .. } if delay == SHORT));
        assert!(admit_waiting(limits.waiting, 0, &limits).is_err());
    }
}
