//! Spans of time: what is read is shown, and what is shown is read back as the same span.

use nexus_spec::Span;
use serde_json::Value;

pub(crate) const WORDS: &[&str] = &[
    "1h30m",
    "90s",
    "250ms",
    "PT",
    "P1DT2H",
    "P1W",
    "T",
    "S",
    "1.5",
    ".",
    "h",
    "min",
    "sec",
    "us",
    "d",
    "w",
    "3650d",
    "0",
    "999999999999999",
    "000000000000000001",
    " ",
    "-",
    "+",
    "e9",
    "٣",
    "\u{a0}",
    "10m5h",
    "0.000001s",
];

/// Reads any text as a span, and shows any number as one.
pub fn durations(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match text.parse::<Span>() {
        Ok(span) => {
            assert!(
                (0..=Span::MAX.micros()).contains(&span.micros()),
                "{span} is out of bounds"
            );
            round_trip(span);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Some(bytes) = data.first_chunk::<8>() {
        round_trip(Span::from_micros(
            i64::from_le_bytes(*bytes).rem_euclid(Span::MAX.micros() + 1),
        ));
    }
}

fn round_trip(span: Span) {
    let shown = span.to_string();
    assert_eq!(shown.parse::<Span>(), Ok(span), "{shown}");
    let json = serde_json::to_value(span).unwrap_or_default();
    assert_eq!(json, Value::String(shown));
    assert_eq!(serde_json::from_value::<Span>(json).ok(), Some(span));
    assert_eq!(span.to_std().as_micros(), u128::from(span.micros().unsigned_abs()));
}
