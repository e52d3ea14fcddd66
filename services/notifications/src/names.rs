//! Names of channels and rules. Pure.

/// Whether a text can be the name of a channel or a rule.
pub(crate) fn is_name(text: &str) -> bool {
    let mut letters = text.bytes();
    letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_')
        && text.len() <= 63
}
