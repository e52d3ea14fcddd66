//! What a load brings to the owner's loop.

use std::sync::Arc;

use nexus_engine::Plan;
use nexus_execution_store::{ExecutionRow, Silence, TaskRow};
use tokio::sync::oneshot;

use crate::plans::Missing;

/// A stored execution, its tasks, and what it runs or why it cannot.
pub(crate) type Stored = (ExecutionRow, Vec<TaskRow>, Result<Arc<Plan>, Missing>);

/// A shard and the stay of the owner in it for which it is loaded.
pub type Mark = (u16, u64);

/// A page of what is live in some shards.
pub struct Page {
    /// The shards, as they stood when the load began.
    pub(crate) marks: Vec<Mark>,
    pub(crate) executions: Vec<Stored>,
    /// What is noted of the leases of all of them; on the first page.
    pub(crate) silences: Vec<Silence>,
    /// Nothing follows.
    pub(crate) last: bool,
    /// It holds what was put aside before; its shards may be served already.
    pub(crate) late: bool,
    /// Dropped once the page is in memory; the next one is not read before.
    pub(crate) taken: oneshot::Sender<()>,
}
