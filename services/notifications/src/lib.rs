//! The notifications service: says who is told of what, and sees to it that they are.
//!
//! Invariants:
//! - Of each event a rule has one message for each of its channels, whose id never changes.
//! - Nobody is told of what was not committed: messages follow from the feed of committed events.
//! - A message is sent until its receiver has taken it, or has refused it for good, or a day is over.
//! - What is secret in a channel is named by it and kept nowhere here.

mod check;
mod credentials;
mod error;
mod events;
mod facts;
mod glob;
mod keeping;
mod message;
mod metrics;
mod names;
mod objects;
mod operations;
mod outbound;
mod quiet;
mod reader;
mod retry;
mod rules;
mod secrets;
mod send;
mod sender;
mod service;
pub mod store;
mod texts;

use std::sync::Arc;
use std::time::Duration;

use nexus_api::notifications::v1::notifications_service_server::NotificationsServiceServer;
use nexus_audit::Recorder;
use nexus_audit::ship::Log;
use nexus_egress::Allowed;
use nexus_mesh::{Clock, Transport};
use nexus_service::Background;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use operations::Context;
use outbound::Outbound;
use reader::{Feed, Reader};
use store::Store;

/// What the service is made from.
pub struct Parts {
    /// Where its state is kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Clock,
    /// What entries of the audit log are made with.
    pub recorder: Recorder,
    /// The way to the definitions service: workflow files and secrets.
    pub definitions: Transport,
    /// The way to the execution service: the feed, and whether an execution still runs.
    pub executions: Transport,
    /// Which addresses may be reached.
    pub allowed: Allowed,
    /// Where people look at executions.
    pub public_url: Option<String>,
    /// How long messages are kept that are over; for ever when zero.
    pub retention: Duration,
    /// By which this replica is known to the others.
    pub holder: String,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

/// The service.
#[derive(Clone)]
pub struct Notifications {
    context: Context,
    parts: Arc<Parts>,
}

impl std::fmt::Debug for Notifications {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notifications")
    }
}

impl Notifications {
    /// The service.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        metrics::describe();
        let context = Context {
            store: Arc::clone(&parts.store),
            feed: Feed::new(Arc::clone(&parts.store), parts.executions.clone()),
            outbound: Outbound {
                secrets: Arc::new(secrets::Kept(parts.definitions.clone())),
                egress: Arc::new(send::Egress::new(parts.allowed.clone())),
            },
            clock: parts.clock.clone(),
            recorder: parts.recorder.clone(),
            public_url: parts.public_url.clone(),
            made: Arc::new(Notify::new()),
        };
        Self {
            context,
            parts: Arc::new(parts),
        }
    }

    /// The service for callers.
    #[must_use]
    pub fn server(&self) -> NotificationsServiceServer<service::Service> {
        NotificationsServiceServer::new(service::Service(self.context.clone()))
    }

    /// Begins to read the feed, to send, and to look at what runs for long and grows old.
    pub fn start(&self, background: &Background) -> Vec<JoinHandle<()>> {
        let (context, parts) = (&self.context, &self.parts);
        let shutdown = || background.shutdown().clone();
        let reader = Reader {
            feed: context.feed.clone(),
            definitions: parts.definitions.clone(),
            clock: parts.clock.clone(),
            holder: parts.holder.clone(),
            public_url: parts.public_url.clone(),
            made: Arc::clone(&context.made),
        };
        let sender = sender::Sender {
            store: Arc::clone(&context.store),
            outbound: context.outbound.clone(),
            clock: parts.clock.clone(),
            made: Arc::clone(&context.made),
        };
        let keeper = keeping::Keeper {
            store: Arc::clone(&context.store),
            executions: parts.executions.clone(),
            clock: parts.clock.clone(),
            holder: parts.holder.clone(),
            retention: parts.retention,
            made: Arc::clone(&context.made),
        };
        vec![
            background.spawn("reading the feed for notifications", reader.run(shutdown())),
            background.spawn("sending notifications", sender.run(shutdown())),
            background.spawn("looking after notifications", keeper.run(shutdown())),
        ]
    }

    /// Takes what changes tell of to the audit log, until the shutdown.
    pub fn ship(&self, background: &Background, log: Log) -> JoinHandle<()> {
        let context = self.context.clone();
        let shutdown = background.shutdown().clone();
        background.spawn("shipping to the audit log", async move {
            let Context {
                store, recorder, clock, ..
            } = context;
            nexus_audit::ship::outbox("notifications", store.outbox(), recorder, log, clock, shutdown).await;
        })
    }
}
