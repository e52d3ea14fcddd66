//! What callers can ask: one file a verb, the same for channels and rules.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod deliveries;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod redeliver;
pub(crate) mod test;
pub(crate) mod update;

use std::sync::Arc;

use nexus_api::Namespace;
use nexus_audit::{Object as Named, Origin, Recorder};
use nexus_mesh::Clock;
use tokio::sync::Notify;

use crate::outbound::Outbound;
use crate::reader::Feed;
use crate::store::Store;

/// What every operation works with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) feed: Feed,
    pub(crate) outbound: Outbound,
    pub(crate) clock: Clock,
    pub(crate) recorder: Recorder,
    pub(crate) public_url: Option<String>,
    /// Comes when there is something to send.
    pub(crate) made: Arc<Notify>,
}

/// Who asks, and about which namespace.
pub(crate) struct Call {
    pub(crate) subject: String,
    pub(crate) namespace: Namespace,
    /// Where the call comes from.
    pub(crate) origin: Origin,
}

impl Context {
    /// The store, for a change that the audit log is told of.
    fn telling(&self, call: &Call, kind: &str, name: &str, request_id: &str) -> Arc<dyn Store> {
        match call.origin.entry(Named::new(kind, name), request_id) {
            Some(entry) => self.store.telling(entry.note()),
            None => Arc::clone(&self.store),
        }
    }
}
