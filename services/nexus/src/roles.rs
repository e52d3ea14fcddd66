//! The list of roles: what a process of NEXUS can do. A role is a file here, which starts a service from its configuration
//! over the databases that [`Frame`] tells of, and a line in [`ALL`]. `nexus dev` and `nexus serve` start from the same
//! list.

mod access;
mod definitions;
mod doors;
mod execution;
mod frame;
mod gateway;
mod notifications;
mod scheduling;
mod worker;

use futures::future::{BoxFuture, LocalBoxFuture};
use nexus_service::{Role, process};
use nexus_storage::postgres::Options;

use crate::config::{ConfigError, RoleName};

pub(crate) use frame::{Backends, Frame, Local, Offered, database_options, server_options};
pub(crate) use gateway::of_this_machine;

/// A role that was started, or why it cannot be.
type Started = Result<Box<dyn Role>, StartError>;

/// How a role begins, and what it keeps in a database.
pub(crate) struct Entry {
    pub(crate) name: RoleName,
    start: for<'a> fn(&'a Frame) -> LocalBoxFuture<'a, Started>,
    /// Its schema and how that is brought up to date; nothing when it keeps nothing.
    pub(crate) schema: Option<Schema>,
}

/// A schema in Postgres.
pub(crate) struct Schema {
    pub(crate) name: &'static str,
    pub(crate) migrate: fn(String, Options) -> BoxFuture<'static, Result<(), String>>,
}

/// All roles, in the order in which they need each other.
pub(crate) const ALL: &[Entry] = &[
    access::ENTRY,
    definitions::ENTRY,
    execution::ENTRY,
    scheduling::ENTRY,
    worker::ENTRY,
    notifications::ENTRY,
    gateway::ENTRY,
];

/// A role cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Its configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificates cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] nexus_mesh::tls::TlsError),
    /// Something that it needs cannot be used.
    #[error("the role {role} cannot be started: {problem}")]
    Role { role: &'static str, problem: String },
}

impl StartError {
    /// Something that a role needs cannot be used.
    fn of(role: &'static str, what: &str, error: impl std::fmt::Display) -> Self {
        let problem = format!("{what} cannot be used: {error}");
        Self::Role { role, problem }
    }
}

/// Starts the roles of a process. When one cannot be, those before it are closed.
pub(crate) async fn start(frame: &Frame) -> Result<Vec<Box<dyn Role>>, StartError> {
    let wanted = &frame.config().roles;
    let mut roles = Vec::new();
    for entry in ALL.iter().filter(|entry| wanted.contains(&entry.name)) {
        match (entry.start)(frame).await {
            Ok(role) => roles.push(role),
            Err(error) => {
                process::close(roles).await;
                return Err(error);
            }
        }
    }
    match doors::start(frame) {
        Ok(doors) => roles.extend(doors),
        Err(error) => {
            process::close(roles).await;
            return Err(error);
        }
    }
    Ok(roles)
}
