//! Whether the store takes writes, for callers who would otherwise wait for a batch that cannot be written without
//! ever hearing why.

use std::sync::Arc;
use std::time::Instant;

use nexus_storage::ErrorKind;
use tokio::sync::watch;

use super::StoreError;

/// The store takes no writes.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Since when.
    pub since: Instant,
    /// Why, for people.
    pub reason: String,
}

/// The answer of the newest write, as it changes.
#[derive(Debug, Clone, Default)]
pub struct Troubles(Arc<watch::Sender<Option<Trouble>>>);

impl Troubles {
    /// Notes how a write ended. Only what the owner tries again counts as trouble: it is tried until it succeeds, so
    /// trouble always ends with the write that ends it.
    pub fn note<T>(&self, written: &Result<T, StoreError>) {
        let reason = match written {
            Err(StoreError::Database(error)) if !matches!(error.kind(), ErrorKind::Duplicate | ErrorKind::Corrupt) => {
                Some(error.to_string())
            }
            _ => None,
        };
        self.0.send_if_modified(|trouble| match (&mut *trouble, reason) {
            (None, None) => false,
            (Some(known), Some(reason)) => {
                known.reason = reason;
                false
            }
            (None, Some(reason)) => {
                *trouble = Some(Trouble {
                    since: Instant::now(),
                    reason,
                });
                true
            }
            (Some(_), None) => {
                *trouble = None;
                true
            }
        });
    }

    /// The trouble there is, as it comes and goes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<Trouble>> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_begins_with_what_is_tried_again_and_ends_with_the_next_write() {
        let troubles = Troubles::default();
        let seen = troubles.watch();
        let failed = |error: sqlx::Error| Err::<(), _>(StoreError::Database(error.into()));
        troubles.note(&failed(sqlx::Error::PoolTimedOut));
        let since = seen.borrow().as_ref().map(|trouble| trouble.since);
        assert!(since.is_some());
        troubles.note(&failed(sqlx::Error::PoolTimedOut));
        assert_eq!(
            seen.borrow().as_ref().map(|trouble| trouble.since),
            since,
            "the same trouble"
        );
        troubles.note(&Ok(()));
        assert!(seen.borrow().is_none());
        troubles.note(&Err::<(), _>(StoreError::Fenced));
        assert!(
            seen.borrow().is_none(),
            "nobody tries this again, so nothing would end it"
        );
    }
}
