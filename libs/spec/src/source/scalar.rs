//! What a plain scalar means: YAML 1.2's core schema, save that nothing surprising is a number. `NO`, `on`, `010`,
//! `1_000` and dates are text.

use serde_json::Number;

use super::{Data, Style};

/// The value of a plain scalar; an error says why a number cannot be kept.
pub(super) fn resolve(text: &str) -> Result<Data, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Data::Null),
        "true" | "True" | "TRUE" => return Ok(Data::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Data::Bool(false)),
        _ => {}
    }
    let plain = || Data::Text(text.to_owned(), Style::Plain);
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return Ok(plain());
    }
    if let ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | ".nan" | ".NaN" | ".NAN" = text {
        return Err(format!("{text} is not a JSON number"));
    }
    if let Some(number) = radix(text) {
        return number;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    // A number with a leading zero is a code or a phone number more often than an octal or a decimal one.
    if digits > 1 && unsigned.starts_with('0') {
        return Ok(plain());
    }
    if digits > 0 && digits == unsigned.len() {
        return integer(text);
    }
    if is_float(unsigned, digits) {
        return match text.parse::<f64>().ok().and_then(Number::from_f64) {
            Some(number) => Ok(Data::Number(number)),
            None => Err(format!("{text} is too large for a number")),
        };
    }
    Ok(plain())
}

fn integer(text: &str) -> Result<Data, String> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Ok(integer) = text.parse::<i64>() {
        return Ok(Data::Number(integer.into()));
    }
    match text.parse::<u64>() {
        Ok(integer) => Ok(Data::Number(integer.into())),
        Err(_) => Err(format!("the integer {text} does not fit into 64 bits")),
    }
}

/// Hexadecimal and octal integers (`0x1F`, `0o17`).
fn radix(text: &str) -> Option<Result<Data, String>> {
    let (digits, radix) = match (text.strip_prefix("0x"), text.strip_prefix("0o")) {
        (Some(digits), _) => (digits, 16),
        (_, Some(digits)) => (digits, 8),
        _ => return None,
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some(match u64::from_str_radix(digits, radix) {
        Ok(integer) => Ok(Data::Number(integer.into())),
        Err(_) => Err(format!("the integer {text} does not fit into 64 bits")),
    })
}

/// True for `1.5`, `1.`, `.5`, `1e3`, `1.5E-3`; `digits` is how many digits stand in front.
fn is_float(unsigned: &str, digits: usize) -> bool {
    let mut rest = &unsigned[digits..];
    let mut fraction = 0;
    if let Some(after) = rest.strip_prefix('.') {
        fraction = after.bytes().take_while(u8::is_ascii_digit).count();
        rest = &after[fraction..];
    }
    if digits + fraction == 0 {
        return false;
    }
    match rest.strip_prefix(['e', 'E']) {
        None => rest.is_empty(),
        Some(exponent) => {
            let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            !exponent.is_empty() && exponent.bytes().all(|b| b.is_ascii_digit())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        match resolve(text) {
            Ok(Data::Null) => "null".into(),
            Ok(Data::Bool(value)) => value.to_string(),
            Ok(Data::Number(number)) => number.to_string(),
            Ok(Data::Text(text, _)) => format!("{text:?}"),
            Ok(_) => "?".into(),
            Err(message) => message,
        }
    }

    #[test]
    fn only_what_looks_like_a_number_is_one() {
        for text in [
            "NO",
            "yes",
            "on",
            "010",
            "1_000",
            "2026-11-01",
            "12:30",
            "1.2.3",
            "-",
            "+",
            ".",
            "1e",
            "0x",
            "0b1",
            "-x",
        ] {
            assert_eq!(shown(text), format!("{text:?}"));
        }
        for (text, value) in [
            ("0", "0"),
            ("-7", "-7"),
            ("+7", "7"),
            ("1.50", "1.5"),
            (".5", "0.5"),
            ("1e3", "1000.0"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("~", "null"),
            ("True", "true"),
            ("FALSE", "false"),
        ] {
            assert_eq!(shown(text), value, "{text}");
        }
        assert!(shown("18446744073709551616").contains("64 bits"));
        assert!(shown("1e999").contains("too large"));
        assert!(shown(".nan").contains("not a JSON number"));
    }

    proptest! {
        #[test]
        fn json_numbers_mean_the_same(number in any::<i64>(), float in any::<f64>()) {
            prop_assert_eq!(shown(&number.to_string()), number.to_string());
            if let Some(json) = Number::from_f64(float) {
                prop_assert_eq!(shown(&json.to_string()), json.to_string());
            }
        }
    }
}
