//! What the owner's loop has under way outside of it: the commit in flight, notes for the next owner, and pointers on their
//! way to the dispatcher.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use nexus_execution_store::{Change, Fence, Journal, StoreError};
use nexus_streams::{Dispatch, Entry};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::commit::{Remedy, remedy};
use super::trouble::Troubles;
use crate::metrics;

/// Tries to write a batch after which a failure is an error in the log.
const LOUD: u32 = 10;

/// A commit that is being written.
pub(crate) type InFlight = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// Waits for the commit in flight; for ever when there is none.
pub(crate) async fn finished(in_flight: &mut Option<InFlight>) -> Result<(), StoreError> {
    let result = match in_flight {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    };
    *in_flight = None;
    result
}

/// Writes a batch, however long the store takes to become available. Gives up only when another owner has taken over, or
/// when the process ends.
pub(crate) fn write(
    store: Arc<dyn Journal>,
    fence: Fence,
    changes: Vec<Change>,
    troubles: Troubles,
    shutdown: CancellationToken,
) -> InFlight {
    Box::pin(async move {
        let begun = Instant::now();
        let writing = troubles.of_a_write();
        for tries in 1.. {
            let Err(error) = store.commit(fence, &changes).await else {
                break;
            };
            metrics::commit_failed();
            match remedy(&error, tries) {
                Remedy::Ignore => break,
                Remedy::StartOver => return Err(error),
                Remedy::Again(wait) => {
                    // The first ones may pass by themselves; whoever reads only errors must hear of the others.
                    if tries < LOUD {
                        tracing::warn!(%error, tries, "the store cannot be written; trying again");
                    } else {
                        tracing::error!(%error, tries, "the store still cannot be written; trying again");
                    }
                    writing.failed(error.to_string());
                    tokio::select! {
                        () = writing.pause(wait) => {}
                        // While the process ends there is one more try and no more.
                        () = shutdown.cancelled() => return store.commit(fence, &changes).await,
                    }
                }
            }
        }
        metrics::committed(&changes, begun.elapsed());
        Ok(())
    })
}

/// Writes what is of use to the next owner. If it fails, leases of workers that are gone last longer there.
pub(crate) fn advise(writing: impl Future<Output = Result<(), StoreError>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = writing.await {
            tracing::debug!(%error, "it was not noted which workers are silent");
        }
    });
}

/// Publishes entries in the background, so that a slow dispatcher does not hold up the loop.
pub(crate) async fn publish(dispatch: Arc<dyn Dispatch>, mut entries: mpsc::Receiver<Vec<Entry>>) {
    while let Some(batch) = entries.recv().await {
        if let Err(error) = dispatch.publish(batch).await {
            tracing::warn!(%error, "some tasks were not offered; the reconciler will offer them again");
        }
    }
}
