//! How long to wait before trying again. Pure: chance is a parameter.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// The wait before the try after `failures` failures: doubling, capped, and somewhere in the upper half of that, so that
/// a thousand workers do not come back at the same moment.
pub(crate) fn delay(failures: u32, chance: u64) -> Duration {
    let full = FIRST.saturating_mul(1 << failures.min(10)).min(LONGEST);
    let half = full / 2;
    let part = u32::try_from(chance % 1_000).unwrap_or_default();
    half + half * part / 1_000
}

/// A number for [`delay`].
pub(crate) fn chance() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_cap_and_differ() {
        assert_eq!(delay(0, 0), FIRST / 2);
        assert!(delay(3, 999) > delay(3, 0) && delay(3, 999) <= FIRST * 8);
        for failures in [10, 1_000, u32::MAX] {
            assert!(delay(failures, u64::MAX) <= LONGEST && delay(failures, 0) >= LONGEST / 2);
        }
    }
}
