//! Waiting at the start for a server that is not there yet: a mesh whose machines start together, or start again during
//! an outage, comes up by itself in any order. What waiting does not cure (a wrong password, a schema that is too new, an
//! address of something else) ends the process at once.

use std::time::Duration;

use nexus_mesh::health::RoleReadiness;
use tokio::time::sleep;

/// The first wait and the longest; it doubles in between, with jitter.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// An error that may pass by itself.
pub(super) trait Passing: std::fmt::Display {
    /// Whether the same may work in a while.
    fn is_passing(&self) -> bool;
}

fn passes(error: &nexus_storage::Error) -> bool {
    use nexus_storage::ErrorKind::{Full, ReadOnly, Transient};
    matches!(error.kind(), Transient | ReadOnly | Full)
}

impl Passing for nexus_execution::store::StoreError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Database(error) if passes(error))
    }
}

impl Passing for nexus_definitions::store::StoreError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Database(error) if passes(error))
    }
}

/// Tries until it works, as long as what is in the way may pass. The role is not ready meanwhile, and says why.
///
/// # Errors
/// The first error that does not pass by itself.
pub(super) async fn until_there<T, E: Passing>(
    readiness: &RoleReadiness,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut wait = FIRST;
    loop {
        let error = match attempt().await {
            Err(error) if error.is_passing() => error,
            done => return done,
        };
        tracing::warn!(%error, what, "it cannot be used yet; trying again");
        readiness.not_ready(format!("{what} cannot be used yet: {error}"));
        sleep(wait.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
        wait = (wait * 2).min(LONGEST);
    }
}
