//! A process that serves roles behind one port, and its end in order: readiness says NOT_SERVING; after a moment no
//! connection is accepted any more; the roles drain, the last started first; the server lets the last calls finish; the
//! roles close.

use std::time::Duration;

use futures::future::select_all;
use nexus_mesh::health::Readiness;
use nexus_mesh::server::{Ending, Listener, ServerError, ServerOptions};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::service::Routes;

use crate::Role;

/// How long the last calls may take when everything has drained, and how long closing one role may.
const LAST_CALLS: Duration = Duration::from_secs(3);
const CLOSING: Duration = Duration::from_secs(10);

/// Something of a process ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// A role, or a task of it.
    #[error("the role {role} broke: {problem}")]
    Role {
        /// Which.
        role: &'static str,
        /// How.
        problem: String,
    },
    /// The port is not served any more.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The server's task ended or panicked.
    #[error("the server ended by itself: {0}")]
    Ended(String),
}

/// Roles that are served.
pub struct Process {
    readiness: Readiness,
    roles: Vec<Box<dyn Role>>,
    ending: Ending,
    server: JoinHandle<Result<(), ServerError>>,
}

impl Process {
    /// Serves roles that were started, in the order in which they need each other.
    #[must_use]
    pub fn serve(listener: Listener, options: ServerOptions, readiness: Readiness, roles: Vec<Box<dyn Role>>) -> Self {
        let ending = Ending::default();
        let mut routes = Routes::builder();
        roles.iter().for_each(|role| role.add_routes(&mut routes));
        let http = roles.iter().find_map(|role| role.http());
        let health = readiness.service(ending.serving.clone());
        let serving = ending.clone();
        let server = tokio::spawn(async move { listener.serve_with(&options, routes, http, health, serving).await });
        Self {
            readiness,
            roles,
            ending,
            server,
        }
    }

    /// Waits until something of it ends by itself, which nothing should. May be dropped and called again.
    pub async fn broken(&mut self) -> Broken {
        let roles = self.roles.iter().map(|role| {
            Box::pin(async move {
                let problem = role.broken().await;
                Broken::Role {
                    role: role.name(),
                    problem,
                }
            })
        });
        let any = async {
            let roles: Vec<_> = roles.collect();
            if roles.is_empty() {
                return std::future::pending().await;
            }
            select_all(roles).await.0
        };
        tokio::select! {
            broken = any => broken,
            ended = &mut self.server => match ended {
                Ok(Ok(())) => Broken::Ended("nobody asked it to".to_owned()),
                Ok(Err(error)) => error.into(),
                Err(error) => Broken::Ended(error.to_string()),
            },
        }
    }

    /// Ends in order. Callers have `notice` to see that it is not ready any more before connections are refused.
    pub async fn end(mut self, notice: Duration) {
        self.readiness.drain();
        sleep(notice).await;
        self.ending.accepting.cancel();
        for role in self.roles.iter_mut().rev() {
            let (name, limit) = (role.name(), role.drain_limit());
            if timeout(limit, role.drain()).await.is_err() {
                tracing::warn!(role = name, ?limit, "the role did not drain in time");
            }
        }
        self.ending.serving.cancel();
        // Callers that keep their connection open do not keep the process alive.
        if !self.server.is_finished() {
            drop(timeout(LAST_CALLS, self.server).await);
        }
        close(self.roles).await;
    }
}

/// Closes roles that were started, the last one first.
pub async fn close(roles: Vec<Box<dyn Role>>) {
    for role in roles.into_iter().rev() {
        let name = role.name();
        if timeout(CLOSING, role.stop()).await.is_err() {
            tracing::warn!(role = name, "the role did not close in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};

    use nexus_supervise::Background;
    use tokio_util::sync::CancellationToken;

    use super::*;

    struct Noted {
        name: &'static str,
        notes: Arc<Mutex<Vec<String>>>,
        background: Background,
    }

    impl Noted {
        fn note(&self, what: &str) {
            let note = format!("{} {what}", self.name);
            self.notes.lock().expect("nobody panicked").push(note);
        }
    }

    #[tonic::async_trait]
    impl Role for Noted {
        fn name(&self) -> &'static str {
            self.name
        }

        async fn broken(&self) -> String {
            self.background.broken().await
        }

        async fn drain(&mut self) {
            self.note("drains");
        }

        async fn stop(self: Box<Self>) {
            self.note("stops");
        }
    }

    #[tokio::test]
    async fn a_task_that_ends_ends_the_process_in_order_and_it_is_not_ready_meanwhile() {
        let notes = Arc::default();
        let readiness = Readiness::default();
        let words: Vec<_> = ["first", "second"].map(|name| readiness.role(name, &[])).into();
        words.iter().for_each(nexus_mesh::health::RoleReadiness::ready);
        let background = Background::new(CancellationToken::new());
        let role = |name| -> Box<dyn Role> {
            Box::new(Noted {
                name,
                notes: Arc::clone(&notes),
                background: background.clone(),
            })
        };
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .expect("a port");
        let roles = vec![role("first"), role("second")];
        let mut process = Process::serve(listener, ServerOptions::default(), readiness.clone(), roles);
        let early = timeout(Duration::from_millis(30), process.broken()).await;
        assert!(early.is_err(), "all is well");
        background.spawn("keeper", async {}).await.expect("it ended");
        let broken = process.broken().await.to_string();
        assert_eq!(broken, "the role first broke: its task \"keeper\" ended by itself");
        assert!(readiness.report().ready);
        process.end(Duration::ZERO).await;
        assert!(!readiness.report().ready);
        let notes = notes.lock().expect("nobody panicked").clone();
        assert_eq!(notes, ["second drains", "first drains", "second stops", "first stops"]);
    }
}
