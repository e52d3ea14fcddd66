//! The dispatch port: how the execution service offers ready attempts to whichever replica has a worker waiting.
//!
//! What travels is a [`Pointer`] and no more. The store stays the only truth: a pointer that is lost is published
//! again by the reconciler, one that comes twice or too late is refused when its lease is asked for. So an adapter may
//! lose, repeat and reorder.

mod fair;
mod memory;
pub mod redis;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

pub use self::redis::RedisDispatch;
pub use memory::MemoryDispatch;

/// Names one attempt that waits for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pointer {
    /// The execution's id.
    pub execution: [u8; 16],
    /// Position of the task in the plan.
    pub task: u32,
    /// Number of the attempt that a lease would begin.
    pub attempt: u32,
}

/// Which entries of a queue go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Before the others.
    High,
    /// The usual.
    Normal,
    /// After the others, but never starved.
    Low,
}

/// A pointer on its way to a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The queue's name.
    pub queue: String,
    /// Which entries of the queue go first.
    pub lane: Lane,
    /// The attempt.
    pub pointer: Pointer,
}

/// A pointer that was taken, with what is needed to say that it need not come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The attempt.
    pub pointer: Pointer,
    /// What [`Dispatch::settle`] wants.
    pub receipt: Receipt,
}

/// Says which delivery is meant; for [`Dispatch::settle`] only. The default has nothing to settle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt(pub(crate) Option<Delivered>);

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) queue: Arc<str>,
    pub(crate) lane: Lane,
    pub(crate) id: Box<str>,
    pub(crate) pointer: Pointer,
}

/// The dispatcher did not do what it was asked. Nothing is lost by that: the reconciler publishes again.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// It holds as many pointers as it may.
    #[error("the dispatcher is full: it holds {held} pointers")]
    Full {
        /// How many it holds.
        held: usize,
    },
    /// It cannot be reached.
    #[error("the dispatcher cannot be reached: {0}")]
    Unavailable(String),
}

/// Offers attempts to workers.
#[async_trait]
pub trait Dispatch: Send + Sync + std::fmt::Debug {
    /// Offers attempts. One that is on offer already stays so and is not offered twice, where the adapter can tell.
    ///
    /// # Errors
    /// When some could not be offered.
    async fn publish(&self, entries: Vec<Entry>) -> Result<(), DispatchError>;

    /// Takes at most `max` pointers from some queues, waiting at most `wait` for the first. None when the wait was
    /// over first. A future that is dropped has taken nothing. What lies outside of the process is looked for during
    /// the wait only.
    ///
    /// # Errors
    /// When the dispatcher cannot be reached.
    async fn take(&self, queues: &[String], max: usize, wait: Duration) -> Result<Vec<Taken>, DispatchError>;

    /// The leases were granted or refused for good: these need not come again. What is taken and never settled comes
    /// again after a while. Does not wait: receipts are gathered and sent in the background; when too many wait, some
    /// are forgotten, and their pointers come again and are refused.
    fn settle(&self, receipts: Vec<Receipt>);

    /// Grows whenever entries may have been lost as a whole: the owner offers everything that is ready again.
    fn losses(&self) -> watch::Receiver<u64>;
}

/// What a dispatcher that replicas share can do while what they share is away: each holds its own entries, and gives
/// them to those whose workers want them.
pub trait Lend: Send + Sync + std::fmt::Debug {
    /// Whether entries stay in this process's memory.
    fn away(&self) -> watch::Receiver<bool>;

    /// Queues that takers of this process wait for, and how many entries they would take.
    fn wanted(&self) -> Vec<(String, usize)>;

    /// Gives away entries that lie in this process's memory.
    fn lend(&self, queue: &str, max: usize) -> Vec<Entry>;

    /// Takes in entries of another replica for takers of this process.
    ///
    /// # Errors
    /// When there is no room for all of them.
    fn borrow_in(&self, entries: Vec<Entry>) -> Result<(), DispatchError>;
}
