//! One value: from the text of a variable or flag, or as TOML holds it, to what its key takes.

use std::time::Duration;

use toml::Value;

use super::keys::{Key, Kind};

/// The value that a text stands for.
pub(crate) fn parse(kind: Kind, text: &str) -> Result<Value, String> {
    let parts = || text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let value = match kind {
        Kind::Text | Kind::Secret | Kind::Span => Value::String(text.to_owned()),
        Kind::Flag => Value::Boolean(match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => return Err(format!("must be true or false, not `{text}`")),
        }),
        Kind::Count => match text.trim().parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => return Err(format!("must be a whole number, not `{text}`")),
        },
        Kind::List => Value::Array(parts().map(|part| Value::String(part.to_owned())).collect()),
        Kind::Map => {
            let mut map = toml::Table::new();
            for part in parts() {
                let Some((name, value)) = part.split_once('=') else {
                    return Err(format!("must be NAME=VALUE, several with commas; `{part}` has no `=`"));
                };
                map.insert(name.trim().to_owned(), Value::String(value.trim().to_owned()));
            }
            Value::Table(map)
        }
    };
    check(kind, &value).map(|()| value)
}

/// Whether a value of the right kind is within its key's bounds.
pub(crate) fn within(key: &Key, value: &Value) -> Result<(), String> {
    let number = match (key.kind, value) {
        (Kind::Count, Value::Integer(number)) => u64::try_from(*number).unwrap_or(0),
        (Kind::Span, Value::String(text)) => u64::try_from(span(text)?.as_millis()).unwrap_or(u64::MAX),
        _ => return Ok(()),
    };
    if (key.bounds.0..=key.bounds.1).contains(&number) {
        return Ok(());
    }
    let range = key.range().unwrap_or_default();
    Err(format!("must be from {range}, not {}", key.written(number)))
}

/// Whether a value is what its key takes.
pub(crate) fn check(kind: Kind, value: &Value) -> Result<(), String> {
    let right = match (kind, value) {
        (Kind::Text | Kind::Secret, Value::String(_)) | (Kind::Flag, Value::Boolean(_)) => true,
        (Kind::Count, Value::Integer(number)) => *number >= 0,
        (Kind::Span, Value::String(text)) => return span(text).map(|_| ()),
        (Kind::List, Value::Array(values)) => values.iter().all(Value::is_str),
        (Kind::Map, Value::Table(map)) => map.values().all(Value::is_str),
        _ => false,
    };
    if right {
        return Ok(());
    }
    let wanted = match kind {
        Kind::Text | Kind::Secret => "a text in quotes",
        Kind::Flag => "true or false",
        Kind::Count => "a whole number that is not negative",
        Kind::Span => "a span in quotes, such as \"30s\"",
        Kind::List => "a list of texts, such as [\"a\", \"b\"]",
        Kind::Map => "a table of texts, such as {team = \"data\"}",
    };
    Err(format!(
        "must be {wanted}, and is of another type: {}",
        value.type_str()
    ))
}

/// Reads a span such as `500ms`, `30s`, `10m`, `1h30m`.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let problem = || format!("must be a span such as 500ms, 30s or 1h30m, not `{text}`");
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(problem());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(problem)?;
        let number: u64 = rest[..digits].parse().map_err(|_| problem())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let millis = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(problem()),
        };
        rest = &rest[letters..];
        let part = number
            .checked_mul(millis)
            .map(Duration::from_millis)
            .ok_or_else(problem)?;
        total = total.checked_add(part).ok_or_else(problem)?;
    }
    Ok(total)
}

/// Reads a span of at most ten years, the longest anywhere.
pub(crate) fn bounded_span(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);
    let span = span(text)?;
    if span > LONGEST {
        return Err(format!("`{text}` is longer than 3650d, ten years, the longest span"));
    }
    Ok(span)
}

/// A span as it is written.
pub(crate) fn span_text(span: Duration) -> String {
    if span.subsec_millis() == 0 {
        format!("{}s", span.as_secs())
    } else {
        format!("{}ms", span.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            (" 2d ", 172_800_000),
            ("0s", 0),
        ] {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in [
            "",
            "5",
            "s",
            "1x",
            "-1s",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
        assert!(bounded_span("3650d").is_ok() && bounded_span("3650d1ms").is_err());
        assert_eq!(span_text(Duration::from_millis(90_000)), "90s");
        assert_eq!(span_text(Duration::from_millis(1_500)), "1500ms");
    }

    #[test]
    fn texts_become_what_their_key_takes() {
        assert_eq!(parse(Kind::Text, "123"), Ok(Value::String("123".into())));
        assert_eq!(parse(Kind::Count, "123"), Ok(Value::Integer(123)));
        assert_eq!(parse(Kind::Flag, "Yes"), Ok(Value::Boolean(true)));
        assert_eq!(
            parse(Kind::List, "a, b,").map(|list| list.to_string()),
            Ok("[\"a\", \"b\"]".into())
        );
        assert!(parse(Kind::Count, "-1").is_err() && parse(Kind::Flag, "perhaps").is_err());
        assert!(parse(Kind::Map, "a").is_err() && parse(Kind::Map, "a=b=c").is_ok());
    }
}
