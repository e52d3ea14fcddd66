//! The definitions service: workflows and their immutable revisions.
//!
//! Invariants:
//! - A revision never changes and is never deleted; executions refer to it by (workflow, number).
//! - Numbers of revisions have no gaps, also over a workflow's deletion and re-creation.
//! - What is stored is valid: nothing is written that `nexus-spec` finds an error in.
//! - Nothing of another namespace than the call's is looked at.

mod convert;
mod error;
mod operations;
pub mod secrets;
mod service;
pub mod store;

use std::sync::Arc;

use nexus_api::Namespace;
use nexus_api::definitions::v1::definitions_service_server::DefinitionsServiceServer;
use nexus_audit::{Object, Origin, Recorder};
use nexus_mesh::Clock;
use tokio_util::sync::CancellationToken;

use store::Store;

/// Largest message that is taken or given: a file of 8 MiB and its canonical form.
const MAX_MESSAGE: usize = 32 << 20;

/// What every operation works with, and in which namespace.
#[derive(Clone)]
pub(crate) struct Context {
    store: Arc<dyn Store>,
    clock: Clock,
    namespace: Namespace,
    recorder: Recorder,
    /// Where the call comes from that it works for.
    origin: Origin,
}

impl Context {
    /// The store, for a change that the audit log is told of.
    fn telling(&self, kind: &str, name: &str, request_id: &str) -> Arc<dyn Store> {
        match self.origin.entry(Object::new(kind, name), request_id) {
            Some(entry) => self.store.telling(entry.note()),
            None => Arc::clone(&self.store),
        }
    }
}

/// The service.
#[derive(Clone)]
pub struct Definitions {
    context: Context,
}

impl std::fmt::Debug for Definitions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Definitions")
    }
}

impl Definitions {
    /// The service over a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock, recorder: Recorder) -> Self {
        Self {
            context: Context {
                store,
                clock,
                namespace: Namespace::default(),
                recorder,
                origin: Origin::none(),
            },
        }
    }

    /// Takes what its changes tell of to the audit log, until the shutdown.
    pub async fn ship(&self, log: nexus_audit::ship::Log, shutdown: CancellationToken) {
        let Context {
            store, recorder, clock, ..
        } = self.context.clone();
        nexus_audit::ship::outbox("definitions", store.outbox(), recorder, log, clock, shutdown).await;
    }

    /// The service for callers.
    #[must_use]
    pub fn server(&self) -> DefinitionsServiceServer<service::Service> {
        DefinitionsServiceServer::new(service::Service(self.context.clone()))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }
}
