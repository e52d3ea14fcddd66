//! When a message is tried again, and when it is given up. Pure.

/// Attempts at most: with the waits below they last about a day.
pub(crate) const MAX_TRIES: i64 = 14;
/// The wait after the first attempt, in microseconds; each further one is twice as long.
const FIRST: i64 = 10_000_000;
/// The longest wait.
const LONGEST: i64 = 4 * 3_600_000_000;
/// What a receiver may ask for at most.
const LONGEST_ASKED: i64 = 6 * 3_600_000_000;

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The receiver has taken it.
    Taken,
    /// It may work later; the receiver may have said when, in microseconds.
    Later(Option<i64>),
    /// Trying again cannot help.
    Never,
}

/// How long to wait after so many attempts that failed, in microseconds; nothing when it is given up. `chance` is from 0 to 1.
pub(crate) fn wait(tries: i64, asked: Option<i64>, chance: f64) -> Option<i64> {
    if tries >= MAX_TRIES {
        return None;
    }
    let doublings = u32::try_from(tries.max(1) - 1).unwrap_or_default().min(30);
    let full = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    // Between half and the whole: receivers that come back are not met by everybody at once.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a wait needs no exact microseconds"
    )]
    let jittered = (full as f64 * (0.5 + chance.clamp(0.0, 1.0) / 2.0)) as i64;
    Some(jittered.max(asked.unwrap_or_default().clamp(0, LONGEST_ASKED)))
}

/// What an answer of HTTP means.
pub(crate) fn of_status(status: u16, retry_after: Option<i64>) -> Ended {
    match status {
        200..=299 => Ended::Taken,
        408 | 425 | 429 | 500..=599 => Ended::Later(retry_after),
        _ => Ended::Never,
    }
}

/// `Retry-After` in microseconds: seconds, or a date; `now` is in microseconds since 1970.
pub(crate) fn retry_after(text: &str, now: i64) -> Option<i64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<i64>() {
        return (seconds >= 0).then(|| seconds.saturating_mul(1_000_000).min(LONGEST_ASKED));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let wait = date.timestamp().as_microsecond() - now;
    Some(wait.clamp(0, LONGEST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_over_hours_and_end() {
        let waits: Vec<i64> = (1..MAX_TRIES).filter_map(|tries| wait(tries, None, 1.0)).collect();
        assert_eq!(waits.len(), 13);
        assert_eq!(&waits[..3], &[10_000_000, 20_000_000, 40_000_000]);
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]) && waits.iter().all(|wait| *wait <= LONGEST));
        let hours = waits.iter().sum::<i64>() / 3_600_000_000;
        assert!((6..48).contains(&hours), "{hours} hours");
        assert_eq!(wait(MAX_TRIES, None, 0.5), None);
        assert_eq!(wait(1, None, 0.0), Some(FIRST / 2));
    }

    #[test]
    fn a_receiver_is_heard_within_a_bound() {
        assert_eq!(wait(1, Some(60_000_000), 0.0), Some(60_000_000));
        assert_eq!(wait(1, Some(i64::MAX), 0.0), Some(LONGEST_ASKED));
        assert_eq!(retry_after("120", 0), Some(120_000_000));
        assert_eq!(retry_after("99999999999999999", 0), Some(LONGEST_ASKED));
        assert_eq!(retry_after("-1", 0), None);
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 0), Some(60_000_000));
        assert_eq!(retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 90_000_000), Some(0));
        assert_eq!(retry_after("soon", 0), None);
    }

    #[test]
    fn statuses_mean_what_http_says() {
        for taken in [200, 202, 204] {
            assert_eq!(of_status(taken, None), Ended::Taken);
        }
        for later in [408, 425, 429, 500, 502, 503, 504] {
            assert_eq!(of_status(later, Some(1)), Ended::Later(Some(1)));
        }
        for never in [301, 302, 400, 401, 403, 404, 410, 413, 422] {
            assert_eq!(of_status(never, Some(1)), Ended::Never);
        }
    }
}
