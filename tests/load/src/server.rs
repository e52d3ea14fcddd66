//! What is measured: a `nexus dev`, or a mesh of processes with a Postgres and a Redis of its own.

use nexus_fleet::{Mesh, Role};
use tempfile::TempDir;

use crate::client::Client;
use crate::dev::Dev;
use crate::error::{BenchError, broken};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Everything: `nexus dev`.
    Dev,
    Definitions,
    Execution,
    Worker,
    Postgres,
    Redis,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Definitions => "definitions",
            Self::Execution => "execution",
            Self::Worker => "worker",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }

    /// Whether it is NEXUS's own.
    pub(crate) fn is_own(self) -> bool {
        !matches!(self, Self::Postgres | Self::Redis)
    }
}

/// A process of what is measured; what is below it counts as its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pub(crate) kind: Kind,
    pub(crate) pid: u32,
}

/// What is measured; gone when dropped.
pub(crate) struct Server {
    backing: Backing,
    executions: String,
    definitions: String,
    processes: Vec<Process>,
    metrics: Vec<String>,
}

enum Backing {
    Dev(Dev),
    Mesh(Box<Mesh>),
}

impl Server {
    pub(crate) fn dev(dev: Dev) -> Self {
        let process = Process {
            kind: Kind::Dev,
            pid: dev.pid(),
        };
        Self {
            executions: dev.address().to_owned(),
            definitions: dev.address().to_owned(),
            processes: vec![process],
            metrics: dev.metrics().map(str::to_owned).into_iter().collect(),
            backing: Backing::Dev(dev),
        }
    }

    pub(crate) fn mesh(mut mesh: Mesh) -> Self {
        let mut processes = Vec::new();
        let mut metrics = Vec::new();
        for node in mesh.nodes() {
            let kind = match node.role() {
                Role::Definitions => Kind::Definitions,
                Role::Execution => Kind::Execution,
                Role::Worker => Kind::Worker,
                // No shape has any; what calls cost is told of the services.
                Role::Gateway | Role::Access | Role::Scheduling | Role::Notifications => continue,
            };
            processes.extend(node.pid().map(|pid| Process { kind, pid }));
            // The others have none of the counters.
            if kind == Kind::Execution {
                let address = node.metrics();
                let host = address.trim_start_matches("http://").split('/').next();
                metrics.extend(host.map(str::to_owned));
            }
        }
        let of = |kind: Kind, pid: Option<u32>| pid.map(|pid| Process { kind, pid });
        processes.extend(of(Kind::Postgres, mesh.postgres().pid()));
        processes.extend(of(Kind::Redis, mesh.redis().pid()));
        Self {
            executions: mesh.execution(),
            definitions: mesh.definitions(),
            processes,
            metrics,
            backing: Backing::Mesh(Box::new(mesh)),
        }
    }

    /// Where executions are started and workers take tasks: several addresses with commas between them, perhaps.
    pub(crate) fn executions(&self) -> &str {
        &self.executions
    }

    pub(crate) fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Process ids of NEXUS's own.
    pub(crate) fn own(&self) -> impl Iterator<Item = u32> {
        let own = self.processes.iter().filter(|process| process.kind.is_own());
        own.map(|process| process.pid)
    }

    /// Where counters of commits are shown.
    pub(crate) fn metrics(&self) -> &[String] {
        &self.metrics
    }

    pub(crate) fn client(&self) -> Result<Client, BenchError> {
        Client::connect(&self.executions, &self.definitions)
    }

    /// The Redis of a mesh.
    pub(crate) fn redis(&mut self) -> Option<u16> {
        match &mut self.backing {
            Backing::Dev(_) => None,
            Backing::Mesh(mesh) => Some(mesh.redis().port()),
        }
    }

    /// The database of a mesh.
    pub(crate) fn database(&self) -> Option<&str> {
        match &self.backing {
            Backing::Dev(_) => None,
            Backing::Mesh(mesh) => Some(mesh.database()),
        }
    }

    /// Stops a `nexus dev` and gives its folder back.
    pub(crate) fn stop(self) -> Result<TempDir, BenchError> {
        match self.backing {
            Backing::Dev(dev) => dev.stop(),
            Backing::Mesh(_) => Err(broken("a mesh has no folder to start again on")),
        }
    }
}
