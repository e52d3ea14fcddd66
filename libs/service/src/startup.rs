//! Waiting at the start for a server that is not there yet: a mesh whose machines start together, or start again during
//! an outage, comes up by itself in any order. What waiting does not cure (a wrong password, a schema that is too new, an
//! address of something else) ends the process at once.

use std::time::Duration;

use nexus_mesh::health::RoleReadiness;
use nexus_storage::ErrorKind::{Full, ReadOnly, Transient};
use tokio::time::sleep;

/// The first wait and the longest; it doubles in between, with jitter.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// Whether the same may work in a while.
#[must_use]
pub fn passes(error: &nexus_storage::Error) -> bool {
    matches!(error.kind(), Transient | ReadOnly | Full)
}

/// Tries until it works, as long as what is in the way may pass, as `passes` judges. The role is not ready meanwhile, and
/// says why.
///
/// # Errors
/// The first error that does not pass by itself.
pub async fn until_there<T, E: std::fmt::Display>(
    readiness: &RoleReadiness,
    what: &str,
    passes: impl Fn(&E) -> bool,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut wait = FIRST;
    loop {
        let error = match attempt().await {
            Err(error) if passes(&error) => error,
            done => return done,
        };
        tracing::warn!(%error, what, "it cannot be used yet; trying again");
        readiness.not_ready(format!("{what} cannot be used yet: {error}"));
        sleep(wait.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
        wait = (wait * 2).min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use nexus_mesh::health::Readiness;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_waited_for_and_what_does_not_is_told_at_once() {
        let readiness = Readiness::default();
        let role = readiness.role("execution", &[]);
        let mut tries = 0;
        let attempt = async || {
            tries += 1;
            match tries {
                1 | 2 => Err("away"),
                3 => Ok(3),
                _ => Err("a wrong password"),
            }
        };
        let mut attempt = attempt;
        let passes = |error: &&str| *error == "away";
        assert_eq!(until_there(&role, "its database", passes, &mut attempt).await, Ok(3));
        let said = readiness.report().roles[0].1.clone();
        assert_eq!(said.as_deref(), Some("its database cannot be used yet: away"));
        assert_eq!(
            until_there(&role, "its database", passes, attempt).await,
            Err("a wrong password")
        );
    }
}
