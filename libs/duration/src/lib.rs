//! Spans of time as the file writes them: `90s`, `10m`, `1h30m`, `1.5h`, `PT90S`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;

/// Units that a span may be written in, in microseconds. `m` stands for minutes; a month has no fixed length.
const UNITS: &[(&str, i64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", SECOND),
    ("sec", SECOND),
    ("m", MINUTE),
    ("min", MINUTE),
    ("h", HOUR),
    ("hr", HOUR),
    ("d", DAY),
    ("w", WEEK),
];

/// Units that a span is shown in, largest first.
const SHOWN: &[(&str, i64)] = &[
    ("d", DAY),
    ("h", HOUR),
    ("m", MINUTE),
    ("s", SECOND),
    ("ms", 1_000),
    ("us", 1),
];

/// A span of time in whole microseconds, from 0 to ten years of 365 days, written in the file as `90s`, `1h30m` or
/// ISO 8601 `PT90S`. Shown canonically: largest units first, no fractions (`1m30s`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

/// Why a text is no span.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpanError(String);

impl Span {
    /// The longest span that a file may ask for: ten years of 365 days.
    pub const MAX: Self = Self(3_650 * DAY);

    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * SECOND)
    }

    /// A span of microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The span in microseconds.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The span as the standard library's type; a negative one is zero.
    #[must_use]
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_micros(u64::try_from(self.0).unwrap_or_default())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.0.unsigned_abs();
        for (unit, micros) in SHOWN {
            let micros = micros.unsigned_abs();
            if rest >= micros {
                write!(f, "{}{unit}", rest / micros)?;
                rest %= micros;
            }
        }
        Ok(())
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SpanError("a span of time is missing".to_owned()));
        }
        let micros = match text.strip_prefix(['P', 'p']) {
            Some(rest) => parse_iso(rest),
            None => parse_friendly(text),
        };
        let micros = micros.ok_or_else(|| SpanError(explain(text)))?;
        if micros > i128::from(Self::MAX.0) {
            return Err(SpanError(format!(
                "{text:?} is longer than {}, ten years, the longest span",
                Self::MAX
            )));
        }
        i64::try_from(micros).map(Self).map_err(|_| SpanError(explain(text)))
    }
}

/// What is wrong with a text that is no span, for the commonest slips.
fn explain(text: &str) -> String {
    if text.starts_with('-') {
        return format!("{text:?} is negative; a span of time starts at 0s");
    }
    if text.chars().all(|c| c.is_ascii_digit()) {
        return format!("{text:?} has no unit; write {text}s for seconds");
    }
    format!("{text:?} is not a span of time; write it like 90s, 10m, 1h30m, 1d, 250ms or PT90S")
}

/// Reads `1h30m`, `1.5h`, `250ms`; spaces between the parts are allowed.
fn parse_friendly(text: &str) -> Option<i128> {
    let mut rest = text;
    let mut total = 0_i128;
    let mut last_unit = i64::MAX;
    while !rest.is_empty() {
        let (number, after) = take_number(rest)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let unit = UNITS.iter().find(|(name, _)| *name == &after[..end])?.1;
        // Each unit at most once and from large to small, so that a slip such as `10m5h` is not taken silently.
        if unit >= last_unit {
            return None;
        }
        last_unit = unit;
        total += number.micros(unit)?;
        rest = after[end..].trim_start();
    }
    Some(total)
}

/// Reads what follows the `P` of an ISO 8601 span: weeks, days, then after a `T` hours, minutes and seconds.
fn parse_iso(text: &str) -> Option<i128> {
    let upper = text.to_ascii_uppercase();
    let (date, time) = match upper.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (upper.as_str(), None),
    };
    if date.is_empty() && time.is_none_or(str::is_empty) {
        return None;
    }
    if time.is_some_and(str::is_empty) {
        return None;
    }
    let part = |mut rest: &str, units: &[(char, i64)]| -> Option<i128> {
        let mut total = 0_i128;
        let mut next = 0;
        while !rest.is_empty() {
            let (number, after) = take_number(rest)?;
            let letter = after.chars().next()?;
            let found = units.iter().skip(next).position(|(unit, _)| *unit == letter)? + next;
            next = found + 1;
            total += number.micros(units[found].1)?;
            rest = &after[letter.len_utf8()..];
        }
        Some(total)
    };
    let date = part(date, &[('W', WEEK), ('D', DAY)])?;
    let time = part(time.unwrap_or_default(), &[('H', HOUR), ('M', MINUTE), ('S', SECOND)])?;
    Some(date + time)
}

/// A decimal number as written: digits before and after the point.
struct Number<'a> {
    whole: &'a str,
    fraction: &'a str,
}

impl Number<'_> {
    /// The number times a unit, exact; nothing when it is not a whole number of microseconds.
    fn micros(&self, unit: i64) -> Option<i128> {
        if self.whole.len() > 15 || self.fraction.len() > 9 {
            return None;
        }
        let whole: i128 = self.whole.parse().ok()?;
        let mut total = whole * i128::from(unit);
        if !self.fraction.is_empty() {
            let scale = 10_i128.pow(u32::try_from(self.fraction.len()).ok()?);
            let scaled = self.fraction.parse::<i128>().ok()? * i128::from(unit);
            if scaled % scale != 0 {
                return None;
            }
            total += scaled / scale;
        }
        Some(total)
    }
}

fn take_number(text: &str) -> Option<(Number<'_>, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at(end);
    if whole.is_empty() {
        return None;
    }
    let Some(after_point) = rest.strip_prefix('.') else {
        return Some((Number { whole, fraction: "" }, rest));
    };
    let end = after_point
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(after_point.len());
    let (fraction, rest) = after_point.split_at(end);
    if fraction.is_empty() {
        return None;
    }
    Some((Number { whole, fraction }, rest))
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A span of time: `90s`, `10m`, `1h30m`, `1d`, `250ms` or ISO 8601 `PT90S`.",
            "examples": ["90s", "10m", "1h30m"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn micros(text: &str) -> i64 {
        text.parse::<Span>().unwrap().micros()
    }

    #[test]
    fn spans_are_read_in_every_form() {
        assert_eq!(micros("90s"), 90 * SECOND);
        assert_eq!(micros("10m"), 10 * MINUTE);
        assert_eq!(micros("1h30m"), 90 * MINUTE);
        assert_eq!(micros("1h 30m"), 90 * MINUTE);
        assert_eq!(micros("1.5h"), 90 * MINUTE);
        assert_eq!(micros("0.25s"), 250_000);
        assert_eq!(micros("1d"), DAY);
        assert_eq!(micros("250ms"), 250_000);
        assert_eq!(micros("PT90S"), 90 * SECOND);
        assert_eq!(micros("P1DT2H"), 26 * HOUR);
        assert_eq!(micros("PT0.250S"), 250_000);
        assert_eq!(micros("0s"), 0);
        assert_eq!(micros("3650d"), Span::MAX.micros());
    }

    #[test]
    fn what_is_no_span_is_refused_with_advice() {
        let problem = |text: &str| text.parse::<Span>().unwrap_err().to_string();
        assert!(problem("90").contains("write 90s"));
        assert!(problem("-5s").contains("negative"));
        assert!(problem("3651d").contains("ten years"));
        for text in [
            "",
            "s",
            "10x",
            "10m5h",
            "1h1h",
            "PT",
            "P",
            "P1M",
            "1.s",
            "0.1us",
            "99999999999999999999d",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(micros in 0..=Span::MAX.micros()) {
            let span = Span::from_micros(micros);
            prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,24}") {
            let _ = text.parse::<Span>();
        }
    }
}
