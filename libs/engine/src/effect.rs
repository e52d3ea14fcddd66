//! What the caller must bring about once the events of a decision are stored.

use nexus_spec::model::Priority;

use crate::key::TaskKey;

/// Something to do in the outside world. Effects are intentions: all of them can be derived again from the stored
/// state by [`crate::resume`], so losing them costs time and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Offer an attempt to the workers of a queue.
    Dispatch {
        /// Which task.
        task: TaskKey,
        /// Number of the attempt that a lease would begin.
        attempt: u32,
        /// The queue's name.
        queue: String,
        /// Which tasks of the queue go first.
        priority: Priority,
    },
    /// Send [`crate::Command::TimerFired`] at this time (microseconds since the epoch).
    SetTimer {
        /// Which timer.
        timer: Timer,
        /// When.
        at: i64,
    },
    /// Tell the worker that holds this attempt to stop it.
    CancelAttempt {
        /// Which task.
        task: TaskKey,
        /// The attempt's number.
        attempt: u32,
        /// Why, for people.
        reason: String,
    },
    /// Send [`crate::Command::Continue`]: the decision was cut, and the rest of it is owed.
    Continue,
    /// The execution is terminal: it need not be kept in memory.
    Close,
}

/// A timer. It carries what it is about, so that one that fires too late is seen to be stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The next attempt of a task is due.
    Retry {
        /// Which task.
        task: TaskKey,
        /// Number of the attempt that failed.
        attempt: u32,
    },
    /// A task has waited too long for a worker.
    ScheduleToStart {
        /// Which task.
        task: TaskKey,
        /// Number of the attempt that waits.
        attempt: u32,
    },
    /// A task has taken too long over all its attempts.
    Total {
        /// Which task.
        task: TaskKey,
    },
    /// An attempt has taken too long. The worker stops it by itself; this is the net below.
    Attempt {
        /// Which task.
        task: TaskKey,
        /// The attempt's number.
        attempt: u32,
    },
    /// The execution has taken too long.
    Execution,
}
