//! A whole mesh on this machine: a private Postgres and Redis, and every replica of every service as a process of its own
//! that can be killed, stopped, frozen, started again on the same port, and cut off from the others by proxies.
//!
//! ```no_run
//! # async fn example() -> Result<(), nexus_fleet::Error> {
//! use nexus_fleet::{Mesh, Role, Shape};
//! let mut mesh = Mesh::start(Shape::default()).await?;
//! println!("executions at {}, workflows at {}", mesh.execution(), mesh.definitions());
//! mesh.node(Role::Execution, 0).kill()?;
//! mesh.node(Role::Execution, 0).start("")?;
//! mesh.ready().await?;
//! mesh.stop().await?;
//! # Ok(()) }
//! ```
//!
//! Everything dies with the process that started it, however that ends.

mod failover;
mod mesh;
mod node;
mod ports;
mod proxy;

use std::path::PathBuf;
use std::time::Duration;

pub use failover::Loss;
pub use mesh::{Link, Mesh};
pub use node::{Node, Stopped};
pub use proxy::{Direction, Proxy};

/// Time that a process has to become ready. A loaded machine needs seconds for a dozen of them.
pub const READY: Duration = Duration::from_secs(60);
/// Time that a process has to end after SIGTERM: longer than every limit of its own.
pub const STOP: Duration = Duration::from_secs(60);

/// What a process of the mesh does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Workflows and revisions.
    Definitions,
    /// Executions and leases.
    Execution,
    /// Runs tasks.
    Worker,
    /// REST, for those who ask for it: no shape has any, a test adds them.
    Gateway,
    /// Whose a credential is, for those who ask for credentials: the same.
    Access,
    /// What starts by itself: the same.
    Scheduling,
    /// Messages about executions: the same.
    Notifications,
}

impl Role {
    /// As `nexus serve --roles` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Definitions => "definitions",
            Self::Execution => "execution",
            Self::Worker => "worker",
            Self::Gateway => "gateway",
            Self::Access => "access",
            Self::Scheduling => "scheduling",
            Self::Notifications => "notifications",
        }
    }
}

/// How a mesh is built.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Replicas of the definitions service.
    pub definitions: usize,
    /// Replicas of the execution service.
    pub execution: usize,
    /// Workers.
    pub workers: usize,
    /// Tasks that each worker runs at a time.
    pub slots: u32,
    /// Whether commits wait for the disk.
    pub fsync: bool,
    /// Whether calls between services, and those to Postgres and Redis, go through proxies that can cut them off.
    pub proxied: bool,
    /// Whether Postgres and Redis have standbys that can take their addresses over.
    pub standbys: bool,
    /// The program; the `nexus` beside the running test or program when not given.
    pub program: Option<PathBuf>,
    /// What is logged, as `RUST_LOG` writes it.
    pub log: String,
    /// Further variables of the environment of every process, such as `NEXUS_DRAIN__NOTICE`.
    pub environment: Vec<(String, String)>,
    /// Further settings of Postgres, `name=value`.
    pub postgres: Vec<String>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            definitions: 2,
            execution: 2,
            workers: 4,
            slots: 4,
            fsync: false,
            proxied: false,
            standbys: false,
            program: None,
            log: "info".into(),
            environment: Vec::new(),
            postgres: Vec::new(),
        }
    }
}

/// A mesh cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres or Redis cannot be had.
    #[error(transparent)]
    Server(#[from] nexus_servers::Error),
    /// The program was not built.
    #[error("{path} is missing: run `make build` first")]
    Missing {
        /// Where it was looked for.
        path: String,
    },
    /// Files, ports or processes cannot be used.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A process ended, or did not do in time what was wanted of it.
    #[error("{node} {problem}; its log ends with:\n{log}")]
    Node {
        /// Which.
        node: String,
        /// What is wrong with it.
        problem: String,
        /// The end of its log.
        log: String,
    },
}

fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::System {
        what: what.into(),
        source,
    }
}
