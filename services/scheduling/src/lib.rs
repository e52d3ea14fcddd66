//! The scheduling service: what starts by itself, once for each nominal time.
//!
//! Invariants:
//! - A nominal time of a schedule is decided in one transaction that writes its fire and moves the schedule on, under the
//!   schedule's lock; so each has one fire, whichever replicas are at work and however often they die.
//! - An execution is started under a request id that is made of the fire's key, so a start that is repeated is the same one.
//! - Times are judged by the database's clock. A nominal time that was decided is never decided again.
//! - Nothing of another namespace than the call's is looked at.

mod backfilling;
mod convert;
pub mod decide;
mod error;
mod executions;
mod firing;
mod following;
mod metrics;
mod operations;
mod plans;
mod record;
mod service;
mod starting;
pub mod store;
#[cfg(test)]
mod suite;

use std::sync::Arc;

use nexus_api::Namespace;
use nexus_api::scheduling::v1::scheduling_service_server::SchedulingServiceServer;
use nexus_audit::{Object, Origin, Recorder};
use nexus_mesh::Transport;
use nexus_service::Background;
use nexus_storage::outbox::Note;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use executions::Executions;
use store::{Store, Stored, Work};

pub use metrics::describe as describe_metrics;

/// Largest message that is taken or given.
const MAX_MESSAGE: usize = 16 << 20;

/// What operations and loops work with.
#[derive(Clone)]
pub(crate) struct Context {
    store: Arc<dyn Store>,
    executions: Executions,
    wake: Arc<Wake>,
    namespace: Namespace,
    recorder: Recorder,
    /// Where the call comes from that it works for.
    origin: Origin,
}

/// How loops hear that there is something to do.
#[derive(Default)]
pub(crate) struct Wake {
    firing: Notify,
    starting: Notify,
    following: Notify,
}

impl Context {
    /// Tells the audit log of a change, in its transaction.
    async fn tell(&self, work: &mut dyn Work, name: &str, request_id: &str) -> Stored<()> {
        let entry = self.origin.entry(Object::new("schedule", name), request_id);
        match entry {
            Some(entry) => {
                let note: Note = entry.note();
                work.tell(&note).await
            }
            None => Ok(()),
        }
    }
}

/// The service.
#[derive(Clone)]
pub struct Scheduling {
    context: Context,
}

impl std::fmt::Debug for Scheduling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scheduling")
    }
}

impl Scheduling {
    /// The service over a store, and the way on which it starts executions.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, executions: Transport, recorder: Recorder) -> Self {
        Self {
            context: Context {
                store,
                executions: Executions::new(executions),
                wake: Arc::default(),
                namespace: Namespace::default(),
                recorder,
                origin: Origin::none(),
            },
        }
    }

    /// Fires what is due, starts executions and follows them, until the shutdown. Fires are kept for `retention`
    /// microseconds after their end.
    pub fn start(&self, background: &Background, retention: i64) -> Vec<JoinHandle<()>> {
        let shutdown = || background.shutdown().clone();
        vec![
            background.spawn("firing schedules", firing::run(self.context.clone(), shutdown())),
            background.spawn("starting executions", starting::run(self.context.clone(), shutdown())),
            background.spawn("following executions", following::run(self.context.clone(), shutdown())),
            background.spawn(
                "asking after executions",
                following::ask(self.context.clone(), shutdown()),
            ),
            background.spawn(
                "removing old fires",
                firing::sweep(self.context.clone(), retention, shutdown()),
            ),
        ]
    }

    /// Takes what its changes tell of to the audit log, until the shutdown.
    pub async fn ship(&self, log: nexus_audit::ship::Log, shutdown: CancellationToken) {
        let Context { store, recorder, .. } = self.context.clone();
        let clock = nexus_mesh::system_clock();
        nexus_audit::ship::outbox("scheduling", store.outbox(), recorder, log, clock, shutdown).await;
    }

    /// The service for callers.
    #[must_use]
    pub fn server(&self) -> SchedulingServiceServer<service::Service> {
        SchedulingServiceServer::new(service::Service(self.context.clone()))
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }
}
