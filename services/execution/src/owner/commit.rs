//! The group commit: what waits for the store, and the writing of it.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nexus_engine::Effect;
use nexus_storage::ErrorKind;
use tokio_util::sync::CancellationToken;

use crate::ids::ExecutionId;
use crate::metrics;
use crate::store::{Change, Fence, Store, StoreError};

/// Leases alone are no reason to commit at once; they ride along with the next commit, or go by themselves after this.
pub(super) const LAZY: Duration = Duration::from_millis(25);
/// Longest wait between two tries to write a batch.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// A commit that is being written.
pub(super) type InFlight = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// What happens once a commit is done.
pub(super) enum Release {
    /// Somebody waits for it.
    Reply(Box<dyn FnOnce() + Send>),
    /// An execution's effects.
    Effects(ExecutionId, Vec<Effect>),
}

/// What waits for the next commit.
#[derive(Default)]
pub(super) struct Pending {
    executions: BTreeSet<ExecutionId>,
    releases: Vec<Release>,
    urgent: bool,
    lazy_since: Option<tokio::time::Instant>,
}

impl Pending {
    /// Notes that an execution has something to store; `urgent` when somebody waits for it.
    pub(super) fn mark(&mut self, id: ExecutionId, urgent: bool) {
        self.executions.insert(id);
        self.urgent |= urgent;
        self.lazy_since.get_or_insert_with(tokio::time::Instant::now);
    }

    pub(super) fn release_effects(&mut self, id: ExecutionId, effects: Vec<Effect>) {
        if !effects.is_empty() {
            self.releases.push(Release::Effects(id, effects));
            self.urgent = true;
        }
    }

    pub(super) fn release_lazily(&mut self, id: ExecutionId, effects: Vec<Effect>) {
        if !effects.is_empty() {
            self.releases.push(Release::Effects(id, effects));
        }
    }

    pub(super) fn reply(&mut self, reply: impl FnOnce() + Send + 'static) {
        self.releases.push(Release::Reply(Box::new(reply)));
        self.urgent = true;
    }

    /// When a commit should begin: now, at a later time, or not at all.
    pub(super) fn due(&self) -> Option<tokio::time::Instant> {
        if self.urgent {
            return Some(tokio::time::Instant::now());
        }
        if self.executions.is_empty() {
            None
        } else {
            self.lazy_since.map(|since| since + LAZY)
        }
    }

    pub(super) fn take(&mut self) -> (BTreeSet<ExecutionId>, Vec<Release>) {
        self.urgent = false;
        self.lazy_since = None;
        (std::mem::take(&mut self.executions), std::mem::take(&mut self.releases))
    }
}

/// Writes a batch, however long the store takes to become available: what was decided is kept in memory meanwhile,
/// nobody has been told of it, and callers run into their deadlines. Gives up only when another owner has taken over, or
/// when the process ends.
pub(super) fn write(
    store: Arc<dyn Store>,
    fence: Fence,
    changes: Vec<Change>,
    shutdown: CancellationToken,
) -> InFlight {
    Box::pin(async move {
        let begun = tokio::time::Instant::now();
        let mut wait = Duration::from_millis(10);
        loop {
            let error = match store.commit(fence, &changes).await {
                Ok(()) => {
                    metrics::committed(changes.len(), begun.elapsed());
                    return Ok(());
                }
                // What is damaged or there twice will not be otherwise in a moment.
                Err(StoreError::Database(error))
                    if !matches!(error.kind(), ErrorKind::Duplicate | ErrorKind::Corrupt) =>
                {
                    error
                }
                Err(other) => return Err(other),
            };
            tracing::warn!(error = error.report(), "the store cannot be written; trying again");
            metrics::commit_failed();
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
                // While the process ends there is one more try and no more.
                () = shutdown.cancelled() => return store.commit(fence, &changes).await,
            }
        }
    })
}
