//! What to do when the store fails.

use std::time::Duration;

use nexus_engine::planted::{Bug, planted};
use nexus_execution_store::StoreError;
use nexus_storage::ErrorKind;

/// Wait before a batch is tried again, and the longest such wait; it doubles in between.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What to do about a commit that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Write the same batch again after a while. What was decided is kept in memory, nobody has been told of it, and
    /// callers run into their deadlines. The store recognises a batch that it has already.
    Again(Duration),
    /// Somebody else has written: claim the shards and load everything.
    StartOver,
    /// Take it for done. Only a planted bug says so.
    Ignore,
}

/// What to do after a batch could not be written `tries` times, the first time being 1.
#[must_use]
pub fn remedy(error: &StoreError, tries: u32) -> Remedy {
    if planted(Bug::ErrorTakenForSuccess) {
        return Remedy::Ignore;
    }
    match error {
        StoreError::Fenced if planted(Bug::ZombieGoesOn) => Remedy::Ignore,
        // What is damaged or there twice will not be otherwise in a moment.
        StoreError::Database(error) if !matches!(error.kind(), ErrorKind::Duplicate | ErrorKind::Corrupt) => {
            let doubled = FIRST_WAIT * 2_u32.saturating_pow(tries.saturating_sub(1).min(16));
            Remedy::Again(doubled.min(LONGEST_WAIT))
        }
        _ => Remedy::StartOver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_is_tried_again_and_a_lost_fence_is_not() {
        assert_eq!(remedy(&StoreError::Fenced, 1), Remedy::StartOver);
        let away = || {
            StoreError::Database(nexus_storage::Error::File {
                path: "execution.db".into(),
                source: std::io::Error::other("away"),
            })
        };
        assert_eq!(remedy(&away(), 1), Remedy::Again(FIRST_WAIT));
        assert_eq!(remedy(&away(), 100), Remedy::Again(LONGEST_WAIT));
    }
}
