//! Times and spans for people. Pure: now is a parameter.

use std::time::Duration;

use prost_types::Timestamp;

/// The longest span that is taken: ten years, as in files.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

/// Now in microseconds since the Unix epoch.
pub fn now_micros() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or_default()
}

/// A point in time as RFC 3339 in UTC with whole seconds; empty when there is none.
pub fn point(time: Option<&Timestamp>) -> String {
    time.map(|time| {
        let time = Timestamp {
            seconds: time.seconds,
            nanos: 0,
        };
        time.to_string()
    })
    .unwrap_or_default()
}

/// How long ago a time was, roughly; empty when there is none.
pub fn ago(time: Option<&Timestamp>, now: i64) -> String {
    time.map(|time| format!("{} ago", span(now.saturating_sub(nexus_api::time::micros(time)))))
        .unwrap_or_default()
}

/// The span from one time to another, or to now while there is no other.
pub fn between(from: Option<&Timestamp>, to: Option<&Timestamp>, now: i64) -> String {
    let Some(from) = from else { return String::new() };
    let to = to.map_or(now, nexus_api::time::micros);
    span(to.saturating_sub(nexus_api::time::micros(from)))
}

/// A span in its two largest units.
pub fn span(micros: i64) -> String {
    let micros = micros.max(0);
    let seconds = micros / 1_000_000;
    match seconds {
        0..=9 => format!("{}.{} s", seconds, micros % 1_000_000 / 100_000),
        10..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Reads a span such as `90s`, `10m` or `1h30m`.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let problem = || format!("`{text}` is not a span such as 90s, 10m or 1h30m");
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(problem());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| problem())?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |at| digits + at);
        let unit = match &rest[digits..unit_end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" | "min" => Duration::from_secs(60),
            "h" => Duration::from_secs(3_600),
            "d" => Duration::from_secs(86_400),
            _ => return Err(problem()),
        };
        let part = u32::try_from(number)
            .ok()
            .and_then(|number| unit.checked_mul(number))
            .ok_or_else(problem)?;
        total = total.checked_add(part).ok_or_else(problem)?;
        rest = &rest[unit_end..];
    }
    if total > LONGEST {
        return Err(format!("`{text}` is longer than 3650d, ten years, the longest span"));
    }
    Ok(total)
}

/// Where something in the past begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// At this time, in microseconds since the Unix epoch.
    At(i64),
}

impl Since {
    /// Reads a span, or a time in RFC 3339.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.contains('T') {
            return parse_span(text).map(Self::Ago);
        }
        let time: Result<Timestamp, _> = text.parse();
        let time = time.map_err(|_| format!("`{text}` is not a time such as 2026-01-31T06:00:00Z"))?;
        Ok(Self::At(nexus_api::time::micros(&time)))
    }

    /// The time itself.
    pub fn micros(self, now: i64) -> i64 {
        match self {
            Self::Ago(span) => now.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)),
            Self::At(time) => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_a_span_or_a_time() {
        let micros = |text: &str| Since::parse(text).map(|since| since.micros(100_000_000));
        assert_eq!(micros("10s"), Ok(90_000_000));
        assert_eq!(micros("1970-01-01T00:01:00Z"), Ok(60_000_000));
        assert_eq!(micros("1970-01-01T01:01:00+01:00"), Ok(60_000_000));
        for bad in ["", "yesterday", "1970-01-01", "Today"] {
            assert!(micros(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_are_read_and_shown() {
        assert_eq!(parse_span("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_span("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "10", "x", "10 m", "-1s", "1y"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_span("3650d"), Ok(LONGEST));
        for long in ["3650d1ms", "4294967295d", "18446744073709551615s"] {
            assert!(parse_span(long).is_err(), "{long}");
        }
        let shown = [0, 1_260_000, 42_000_000, 61_000_000, 3_700_000_000, 90_000_000_000].map(span);
        assert_eq!(shown, ["0.0 s", "1.2 s", "42 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
        let time = nexus_api::time::timestamp(1_764_000_000_999_999);
        assert_eq!(point(Some(&time)), "2025-11-24T16:00:00Z");
    }
}
