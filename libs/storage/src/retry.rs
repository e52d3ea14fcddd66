//! Repeats a call that met a busy or absent database, within a budget, with chance as a parameter.

use std::future::Future;
use std::time::Duration;

use crate::error::Transient;

/// How often and how long a call may be repeated.
#[derive(Debug, Clone, Copy)]
pub struct RetryBudget {
    /// How many times the call is made in all; at least once.
    pub attempts: u32,
    /// Longest wait before the second call; each further one may be twice as long.
    pub first_wait: Duration,
    /// No wait is longer.
    pub longest_wait: Duration,
}

impl Default for RetryBudget {
    /// Five calls within about a second.
    fn default() -> Self {
        Self {
            attempts: 5,
            first_wait: Duration::from_millis(20),
            longest_wait: Duration::from_millis(500),
        }
    }
}

impl RetryBudget {
    /// The wait after so many failed calls (from 1). `chance`, from 0 to 1, is the share of the longest wait that is
    /// waited ("full jitter"), so that callers that failed together do not come back together.
    #[must_use]
    pub fn wait(&self, failed: u32, chance: f64) -> Duration {
        let doubled = self
            .first_wait
            .saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1)));
        doubled.min(self.longest_wait).mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// Makes a call until it succeeds, fails for good, or the budget is spent; then its last error is the answer. The call
/// must be safe to repeat. `chance` gives numbers from 0 to 1.
///
/// # Errors
/// The call's own.
pub async fn retry<T, E, F, C, Call>(budget: RetryBudget, mut chance: F, mut call: C) -> Result<T, E>
where
    E: Transient,
    F: FnMut() -> f64,
    C: FnMut() -> Call,
    Call: Future<Output = Result<T, E>>,
{
    let mut failed = 0;
    loop {
        match call().await {
            Err(error) if error.is_transient() && failed + 1 < budget.attempts => {
                failed += 1;
                tokio::time::sleep(budget.wait(failed, chance())).await;
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[derive(Debug, PartialEq)]
    struct Failure {
        transient: bool,
    }

    impl Transient for Failure {
        fn is_transient(&self) -> bool {
            self.transient
        }
    }

    async fn calls_made(succeed_at: u32, transient: bool) -> (u32, bool) {
        let made = Cell::new(0);
        let budget = RetryBudget {
            first_wait: Duration::ZERO,
            ..RetryBudget::default()
        };
        let outcome = retry(
            budget,
            || 0.5,
            || async {
                made.set(made.get() + 1);
                if made.get() == succeed_at {
                    Ok(())
                } else {
                    Err(Failure { transient })
                }
            },
        )
        .await;
        (made.get(), outcome.is_ok())
    }

    #[tokio::test]
    async fn transient_errors_are_repeated_within_the_budget_and_others_are_not() {
        assert_eq!(calls_made(3, true).await, (3, true));
        assert_eq!(calls_made(9, true).await, (5, false));
        assert_eq!(calls_made(3, false).await, (1, false));
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let budget = RetryBudget::default();
        let waits: Vec<u128> = (1..8).map(|failed| budget.wait(failed, 1.0).as_millis()).collect();
        assert_eq!(waits, [20, 40, 80, 160, 320, 500, 500]);
        assert_eq!(budget.wait(40, 0.0), Duration::ZERO);
    }
}
