//! The worker's life: connect, serve a session, connect again, until the shutdown.

use std::time::Duration;

use nexus_supervise::Background;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::link::{Client, Link};
use crate::options::Options;
use crate::session::{Ended, Session};
use crate::state::State;
use crate::{backoff, metrics};

/// A session that held for longer was a good one: what fails after it is a first failure again.
const GOOD_SESSION: Duration = Duration::from_secs(5);

/// Leases tasks and runs them.
pub struct Worker {
    options: Options,
    client: Client,
    connected: watch::Sender<bool>,
}

impl Worker {
    /// A worker that reaches its server over `client`, whose calls are about the namespace of the options. Nothing happens before [`Worker::run`].
    #[must_use]
    pub fn new(mut options: Options, client: Client) -> Self {
        // More are never busy at a time.
        options.tasks.python_interpreters = options.slots as usize;
        Self {
            options,
            client,
            connected: watch::Sender::new(false),
        }
    }

    /// Whether it has a session with a server, now and later.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    /// Works until the shutdown of `background`; then takes nothing more, lets running tasks finish for the grace, stops and gives back
    /// what is left, and deregisters.
    pub async fn run(self, background: Background) {
        let connected = self.connected;
        let shutdown = background.shutdown().clone();
        let mut state = State::new(self.options, self.client, &background);
        state.bench.runner.warm_up().await;
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            let resumption = state.resumption();
            let free = state.pool.free();
            let opened = tokio::select! {
                opened = Link::open(&state.client, &state.options, free, resumption) => opened,
                () = shutdown.cancelled() => break,
            };
            match opened {
                Ok(link) => {
                    metrics::connected();
                    state.pool.opened(free);
                    state.measure();
                    connected.send_replace(true);
                    let since = Instant::now();
                    tracing::info!(worker = %state.options.name, slots = state.options.slots, "the worker is connected");
                    let ended = Box::pin(Session::new(&mut state, link).serve(&shutdown)).await;
                    connected.send_replace(false);
                    match ended {
                        Ended::Shutdown => return,
                        Ended::Broken(reason) => tracing::warn!(reason = %reason, "the worker lost its server"),
                        Ended::Drained => tracing::info!("the server is shutting down; looking for another"),
                    }
                    state.pool.unsend();
                    // A server that always hangs up is not hurried.
                    failures = if since.elapsed() > GOOD_SESSION {
                        0
                    } else {
                        failures + 1
                    };
                }
                Err(status) => {
                    failures += 1;
                    tracing::warn!(error = %status.message(), failures, "the worker cannot reach its server");
                }
            }
            state.wait(backoff::delay(failures, backoff::chance()), &shutdown).await;
        }
        state.abandon().await;
    }
}
