//! Doing again what failed for the moment only, with jitter and within a bound.

use std::time::Duration;

use tokio::time::Instant;

use crate::Error;

/// How long and how often something is tried.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Time for all tries together, the pauses between them included.
    pub total: Duration,
    /// The first pause, before jitter; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Budget {
    /// For a call that somebody waits for: a restart of the database fits in.
    fn default() -> Self {
        Self {
            total: Duration::from_secs(8),
            first: Duration::from_millis(10),
            longest: Duration::from_secs(1),
        }
    }
}

/// An error that may say of itself that the call can be made again.
pub trait Retriable: From<Error> {
    /// Whether what failed may succeed in a moment, and surely nothing of it was done.
    fn is_retriable(&self) -> bool;
}

impl Retriable for Error {
    fn is_retriable(&self) -> bool {
        Self::is_retriable(self)
    }
}

/// Runs something, and again while it fails for the moment only. A try that the budget ends is given up, and what it did
/// is not known.
///
/// # Errors
/// The last try's error; [`Error::timed_out`] when the budget ended during a try.
pub async fn retry<T, E, F>(budget: Budget, mut run: impl FnMut() -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>>,
    E: Retriable,
{
    let deadline = Instant::now() + budget.total;
    let mut pause = budget.first;
    loop {
        let error = match tokio::time::timeout_at(deadline, run()).await {
            Err(_) => return Err(Error::timed_out().into()),
            Ok(Err(error)) if error.is_retriable() => error,
            Ok(done) => return done,
        };
        // Between half and the whole: never at once, and never together with everybody else.
        let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        if Instant::now() + jittered >= deadline {
            return Err(error);
        }
        tokio::time::sleep(jittered).await;
        pause = (pause * 2).min(budget.longest);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::ErrorKind;

    #[tokio::test(start_paused = true)]
    async fn what_fails_for_the_moment_is_done_again() {
        let tries = Cell::new(0);
        let done = retry(Budget::default(), || async {
            tries.set(tries.get() + 1);
            if tries.get() < 4 {
                Err(Error::timed_out())
            } else {
                Ok(7)
            }
        });
        assert_eq!(done.await.expect("at last"), 7);
        assert_eq!(tries.get(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn tries_end_with_the_budget() {
        let began = Instant::now();
        let failed = retry(Budget::default(), || async { Err::<(), _>(Error::timed_out()) }).await;
        assert_eq!(failed.expect_err("never").kind(), ErrorKind::Transient);
        assert!(began.elapsed() <= Budget::default().total, "{:?}", began.elapsed());
        let hung = retry(Budget::default(), std::future::pending::<Result<(), Error>>).await;
        assert_eq!(hung.expect_err("never").kind(), ErrorKind::Transient);
    }

    #[tokio::test]
    async fn what_failed_for_good_or_may_have_been_done_is_not_done_again() {
        for error in [
            || Error::from(sqlx::Error::RowNotFound),
            || Error::Unsettled {
                source: sqlx::Error::WorkerCrashed,
            },
        ] {
            let tries = Cell::new(0);
            let failed = retry(Budget::default(), || async {
                tries.set(tries.get() + 1);
                Err::<(), _>(error())
            });
            assert!(failed.await.is_err());
            assert_eq!(tries.get(), 1);
        }
    }
}
