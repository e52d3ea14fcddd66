//! What the owner's core wants of the world around it, and what it counts.

use nexus_engine::TaskKey;
use nexus_execution_store::{ExecutionId, LeaseToken, SessionId, Silence};
use nexus_spec::model::Priority;
use nexus_streams::{Entry, Lane, Pointer};

use super::messages::{Granted, Verdict};
use super::seats::Seat;

/// What the owner wants to be done outside.
#[derive(Debug)]
pub enum Output {
    /// Offer attempts to workers.
    Publish(Vec<Entry>),
    /// Tell the worker that holds a lease at once.
    Direct {
        /// The worker's session.
        session: SessionId,
        /// The lease.
        token: LeaseToken,
        /// What to do with it.
        verdict: Verdict,
    },
    /// Give a lease to the worker whose slot was kept for it; when it is gone, [`super::core::Core::unheard`].
    Lease {
        /// The slot.
        seat: Seat,
        /// The lease.
        lease: Box<Granted>,
    },
    /// Note that the workers of some leases have not been heard of for a while.
    Silent(Vec<Silence>),
    /// Take such notes back.
    Heard(Vec<LeaseToken>),
    /// Wake those who watch an execution.
    Stored {
        /// The execution.
        id: ExecutionId,
        /// Number of its newest event that is stored.
        sequence: u64,
        /// It is terminal.
        over: bool,
    },
}

/// What the owner had to do besides the usual.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Decisions that were cut and went on later.
    pub slices: u64,
    /// Ready tasks that nobody took and that were offered again.
    pub offered_again: u64,
    /// Times at which the owner found that it had been frozen.
    pub frozen: u64,
    /// Leases that had been lost on the way to workers that came back without them.
    pub never_came: u64,
}

/// What a dispatcher is given of a task that is ready.
pub(crate) fn entry(id: ExecutionId, task: TaskKey, attempt: u32, queue: String, priority: Priority) -> Entry {
    let execution = id.bytes();
    Entry {
        queue,
        lane: lane(priority),
        pointer: Pointer {
            execution,
            task: task.number(),
            attempt,
        },
    }
}

fn lane(priority: Priority) -> Lane {
    match priority {
        Priority::High => Lane::High,
        Priority::Normal => Lane::Normal,
        Priority::Low => Lane::Low,
    }
}
