//! Times and spans between the house's form (microseconds since the epoch) and protobuf's.

use prost_types::{Duration, Timestamp};

/// The first and the last moment that protobuf's Timestamp has, 0001-01-01 and 9999-12-31, in microseconds. What lies
/// outside cannot be written as JSON and has no date.
const FIRST: i64 = -62_135_596_800_000_000;
const LAST: i64 = 253_402_300_799_999_999;
/// The longest span that protobuf's Duration has, about 10,000 years, in microseconds.
const LONGEST: i64 = 315_576_000_000 * 1_000_000;

/// A point in time from microseconds since the Unix epoch; the nearest that a Timestamp has.
#[must_use]
pub fn timestamp(micros: i64) -> Timestamp {
    let micros = micros.clamp(FIRST, LAST);
    Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default(),
    }
}

/// Microseconds since the Unix epoch; finer parts are cut. What is outside of the years 1 to 9999 is the nearest moment
/// within.
#[must_use]
pub fn micros(time: &Timestamp) -> i64 {
    let micros = time.seconds.saturating_mul(1_000_000);
    micros.saturating_add(i64::from(time.nanos) / 1_000).clamp(FIRST, LAST)
}

/// A span from microseconds; the nearest that a Duration has.
#[must_use]
pub fn duration(micros: i64) -> Duration {
    let micros = micros.clamp(-LONGEST, LONGEST);
    Duration {
        seconds: micros / 1_000_000,
        nanos: i32::try_from((micros % 1_000_000) * 1_000).unwrap_or_default(),
    }
}

/// A span in microseconds; finer parts are cut, and what is longer than a Duration may be is the longest.
#[must_use]
pub fn duration_micros(span: &Duration) -> i64 {
    let micros = span.seconds.saturating_mul(1_000_000);
    micros
        .saturating_add(i64::from(span.nanos) / 1_000)
        .clamp(-LONGEST, LONGEST)
}

/// A point in time as RFC 3339 writes it (`2026-01-31T12:00:00Z`), in microseconds since the Unix epoch.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(|time| micros(&time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_round_trip() {
        for at in [0, 1, -1, 1_764_000_000_123_456, -62_135_596_800_000_000] {
            assert_eq!(micros(&timestamp(at)), at);
            assert_eq!(duration_micros(&duration(at)), at);
        }
    }

    #[test]
    fn what_no_message_may_hold_is_the_nearest_that_one_may() {
        for seconds in [i64::MIN, -1 << 62, 1 << 62, i64::MAX] {
            for nanos in [i32::MIN, -1, 0, 1_000_000_000, i32::MAX] {
                let (time, span) = (Timestamp { seconds, nanos }, Duration { seconds, nanos });
                let (edge, longest) = if seconds > 0 {
                    (LAST, LONGEST)
                } else {
                    (FIRST, -LONGEST)
                };
                assert_eq!(
                    (micros(&time), duration_micros(&span)),
                    (edge, longest),
                    "{seconds} {nanos}"
                );
            }
        }
        assert_eq!(duration(i64::MAX).seconds, 315_576_000_000);
        assert_eq!(duration(i64::MIN).seconds, -315_576_000_000);
        for micros in [i64::MIN, LAST + 1, i64::MAX] {
            let text = timestamp(micros).to_string();
            assert!(
                text.starts_with("9999-12-31") || text.starts_with("0001-01-01"),
                "{text}"
            );
        }
        assert_eq!(
            duration_micros(&Duration {
                seconds: 1,
                nanos: -1_500_000_000
            }),
            -500_000,
            "no sum of its parts wraps"
        );
    }
}
