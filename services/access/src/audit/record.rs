//! Appends entries that other processes of this NEXUS bring.

use nexus_api::audit::v1::{RecordAuditEntriesRequest, RecordAuditEntriesResponse};
use nexus_api::error::ApiError;
use nexus_api::method::Permission;
use nexus_audit::{Entry, message};
use nexus_auth::Caller;
use nexus_auth::authorize::missing;
use nexus_auth::caller::EVERYWHERE;
use tonic::Status;

use crate::Context;
use crate::error::storage;

/// Entries of a call at most.
const MAX_ENTRIES: usize = nexus_audit::ship::BATCH as usize;

pub(super) async fn record(
    context: &Context,
    caller: &Caller,
    request: RecordAuditEntriesRequest,
) -> Result<RecordAuditEntriesResponse, Status> {
    // Also where doors are open, and everybody may do everything: history is written by services.
    if !caller.is_service() {
        return Err(missing(caller, Permission::AuditWrite, EVERYWHERE).into());
    }
    if request.entries.len() > MAX_ENTRIES {
        return Err(ApiError::field("entries", format!("has more than {MAX_ENTRIES} entries")).into());
    }
    let read = |message| message::entry(message).map(Entry::bounded);
    let entries: Result<Vec<Entry>, _> = request.entries.into_iter().map(read).collect();
    let entries = entries.map_err(|error| ApiError::field("entries", error.to_string()))?;
    let appended = context.store.append_audit(&entries).await.map_err(storage)?;
    Ok(RecordAuditEntriesResponse {
        appended: i32::try_from(appended).unwrap_or(i32::MAX),
    })
}
