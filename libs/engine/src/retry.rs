//! Whether and when to try again.

use nexus_spec::model::Retry;

use crate::failure::{Failure, FailureKind};
use crate::planted::{Bug, planted};

/// The longest wait that a failure may ask for before the next attempt, in microseconds: 7 days. Who reports a failure
/// cannot keep an execution from ever ending; a workflow's own policy may wait longer.
pub const LONGEST_ASKED_WAIT: i64 = 7 * 24 * 3_600 * 1_000_000;

/// The wait before the attempt after number `attempt` (from 1), in microseconds:
/// `min(initial_interval × backoff_coefficient^(attempt−1), max_interval)`, changed by at most `jitter` of itself.
/// The chance comes from `seed`, so the same failure always waits equally long, also in a replay.
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
pub fn backoff(policy: &Retry, attempt: u32, seed: u64) -> i64 {
    let initial = policy.initial_interval.micros().max(0);
    let cap = policy
        .max_interval
        .map_or_else(|| initial.saturating_mul(100), |max| max.micros())
        .max(0);
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = (initial as f64) * policy.backoff_coefficient.max(1.0).powi(exponent);
    let wait = if grown.is_finite() {
        grown.min(cap as f64)
    } else {
        cap as f64
    };
    // 53 bits of the hash as a fraction in [-1, 1).
    let chance = ((splitmix(seed ^ u64::from(attempt)) >> 11) as f64) / ((1_u64 << 52) as f64) - 1.0;
    let jittered = wait * (1.0 + policy.jitter.clamp(0.0, 1.0) * chance);
    (jittered as i64).max(0)
}

/// Whether a failure may be followed by another attempt under a policy; `attempt` is the number of attempts made.
pub(crate) fn may_retry(policy: &Retry, attempt: u32, failure: &Failure) -> bool {
    let listed = policy.non_retryable_errors.iter().any(|listed| {
        failure.error_type == *listed
            // `HttpStatus` covers `HttpStatus.404`.
            || failure.error_type.strip_prefix(listed.as_str()).is_some_and(|rest| rest.starts_with('.'))
    });
    let limit = policy.max_attempts + u32::from(planted(Bug::OneRetryTooMany));
    attempt < limit && !failure.non_retryable && !listed && failure.kind != FailureKind::Cancelled
}

/// The SplitMix64 finaliser (Steele, Lea, Flood 2014): spreads the bits of a seed.
#[must_use]
pub fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_spec::Span;

    fn policy(jitter: f64) -> Retry {
        Retry {
            max_attempts: 5,
            initial_interval: Span::from_secs(2),
            jitter,
            ..Retry::default()
        }
    }

    #[test]
    fn waits_double_up_to_the_cap() {
        let waits: Vec<i64> = (1..=4).map(|n| backoff(&policy(0.0), n, 7)).collect();
        assert_eq!(waits, [2_000_000, 4_000_000, 8_000_000, 16_000_000]);
        let capped = Retry {
            max_interval: Some(Span::from_secs(5)),
            ..policy(0.0)
        };
        assert_eq!(backoff(&capped, 3, 7), 5_000_000);
        assert_eq!(
            backoff(&policy(0.0), 4_000_000, 7),
            200_000_000,
            "a huge exponent ends at the default cap"
        );
    }

    #[test]
    fn jitter_stays_within_its_share_and_repeats() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let wait = backoff(&policy(0.5), 1, seed);
            assert!((1_000_000..=3_000_000).contains(&wait), "{wait}");
            assert_eq!(wait, backoff(&policy(0.5), 1, seed));
            seen.insert(wait);
        }
        assert!(seen.len() > 150, "the waits are spread");
    }

    #[test]
    fn what_cannot_be_retried_is_not() {
        let plain = Failure::new(FailureKind::User, "HttpStatus.404", "no");
        assert!(may_retry(&policy(0.0), 1, &plain));
        assert!(!may_retry(&policy(0.0), 5, &plain), "the fifth of five was the last");
        let listed = Retry {
            non_retryable_errors: vec!["HttpStatus".into()],
            ..policy(0.0)
        };
        assert!(!may_retry(&listed, 1, &plain));
        let other = Failure::new(FailureKind::User, "HttpStatusish", "no");
        assert!(
            may_retry(&listed, 1, &other),
            "a prefix that is not a whole word does not match"
        );
        assert!(!may_retry(&policy(0.0), 1, &Failure::expression("no")));
    }
}
