//! Time as the stores keep it: whole microseconds since the Unix epoch, from a clock that is a parameter.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time in microseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's clock.
#[must_use]
pub fn system() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}

/// A clock that stands still, for tests.
#[must_use]
pub fn fixed(micros: i64) -> Clock {
    Arc::new(move || micros)
}

/// Reads an RFC 3339 time (`2026-11-01T06:00:00Z`) into microseconds; finer parts are cut.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(jiff::Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_any_offset() {
        assert_eq!(parse_rfc3339("1970-01-01T00:00:01Z"), Some(1_000_000));
        assert_eq!(parse_rfc3339("1970-01-01T01:00:00.5+01:00"), Some(500_000));
        assert_eq!(parse_rfc3339("yesterday"), None);
    }
}
