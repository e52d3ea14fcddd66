//! What callers can ask: a file a group of verbs.

pub(crate) mod apply;
pub(crate) mod backfills;
pub(crate) mod change;
pub(crate) mod read;
pub(crate) mod state;

use tonic::Status;

use crate::Context;
use crate::error::{etag_mismatch, not_found, storage};
use crate::store::{ScheduleRow, Work};

/// The schedule of a name, for looking at it.
async fn find(context: &Context, name: &str) -> Result<ScheduleRow, Status> {
    let found = context
        .store
        .schedule(&context.namespace, name)
        .await
        .map_err(storage)?;
    found.ok_or_else(|| not_found(name))
}

/// The schedule of a name, locked for a change.
async fn hold(context: &Context, name: &str) -> Result<(Box<dyn Work>, ScheduleRow), Status> {
    let mut work = context.store.begin().await.map_err(storage)?;
    let found = work.lock_named(&context.namespace, name).await.map_err(storage)?;
    Ok((work, found.ok_or_else(|| not_found(name))?))
}

/// Whether an etag is the current one; an empty one always is.
fn check_etag(row: &ScheduleRow, etag: &str) -> Result<(), Status> {
    match etag.is_empty() || etag == crate::convert::etag(row.version) {
        true => Ok(()),
        false => Err(etag_mismatch(row.name())),
    }
}
