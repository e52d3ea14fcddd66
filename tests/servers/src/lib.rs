//! Private Postgres, MariaDB and Redis servers for tests, benchmarks and a mesh on one machine.
//!
//! Each server listens on a port of its own on the loopback, keeps its data in a temporary directory, and dies with the
//! process that started it, however that ends. Nothing of the machine's own databases is touched.

mod certificates;
mod folder;
pub mod keeper;
mod mariadb;
mod postgres;
mod redis;
mod standby;

use std::time::Duration;

pub use certificates::Certificates;
pub use mariadb::MariaDb;
pub use postgres::{Postgres, PostgresOptions};
pub use redis::{Redis, RedisOptions};

/// Time that a server has to start or to stop. A loaded machine may need seconds for a first `initdb`.
const DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks at a server that starts or stops.
const PAUSE: Duration = Duration::from_millis(5);
/// Free ports that are tried: another process may take one between the look and the start.
const TRIES: u32 = 5;

/// A private server cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is not installed.
    #[error("{program} is not installed; run scripts/setup.sh")]
    Missing {
        /// Its name.
        program: &'static str,
    },
    /// Files or processes cannot be used.
    #[error("{what}: {source}")]
    System {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A server, or its `initdb`, ended or does not become ready.
    #[error("{what} failed: {said}")]
    Failed {
        /// Which.
        what: String,
        /// The end of what it wrote.
        said: String,
    },
    /// A database cannot be created.
    #[error("cannot create database {name}: {source}")]
    Database {
        /// Its name.
        name: String,
        /// Why not.
        #[source]
        source: sqlx::Error,
    },
}

fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::System {
        what: what.into(),
        source,
    }
}

/// A port of the loopback that nobody listens on right now.
fn free_port() -> Result<u16, Error> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(system("looking for a free port"))?;
    Ok(listener.local_addr().map_err(system("looking for a free port"))?.port())
}
