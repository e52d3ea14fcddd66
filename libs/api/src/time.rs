//! Times and spans between the house's form (microseconds since the epoch) and protobuf's.

use prost_types::{Duration, Timestamp};

/// A point in time from microseconds since the Unix epoch.
#[must_use]
pub fn timestamp(micros: i64) -> Timestamp {
    Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default(),
    }
}

/// Microseconds since the Unix epoch; finer parts are cut.
#[must_use]
pub fn micros(time: &Timestamp) -> i64 {
    time.seconds
        .saturating_mul(1_000_000)
        .saturating_add(i64::from(time.nanos) / 1_000)
}

/// A span from microseconds.
#[must_use]
pub fn duration(micros: i64) -> Duration {
    Duration {
        seconds: micros / 1_000_000,
        nanos: i32::try_from((micros % 1_000_000) * 1_000).unwrap_or_default(),
    }
}

/// A span in microseconds; finer parts are cut.
#[must_use]
pub fn duration_micros(span: &Duration) -> i64 {
    span.seconds
        .saturating_mul(1_000_000)
        .saturating_add(i64::from(span.nanos) / 1_000)
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
}
