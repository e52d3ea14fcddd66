//! How much of an error travels. It goes in headers, of which clients in other languages take 8 KiB in all by default; an
//! error that is longer would reach them as a broken connection.

use std::collections::HashMap;

use tonic_types::FieldViolation;

/// Bytes of the message at most, as it is written in a header: where a byte that is no plain ASCII takes three.
const MESSAGE: usize = 1_500;
/// Bytes of all violations at most, and of one.
const VIOLATIONS: usize = 3_000;
const VIOLATION: usize = 1_000;
/// Bytes of a violation's field, and of a fact, at most.
const NAME: usize = 256;

const CUT: &str = " ...";

/// The beginning of a message.
pub(super) fn message(text: &str) -> String {
    cut(text, MESSAGE, |letter| match letter {
        ' '..='~' if letter != '%' => 1,
        _ => 3 * letter.len_utf8(),
    })
}

/// The first violations, each as far as there is room; at least one.
pub(super) fn violations(all: &[FieldViolation]) -> Vec<FieldViolation> {
    let mut left = VIOLATIONS;
    let mut kept = Vec::new();
    for violation in all {
        let violation = FieldViolation::new(plain(&violation.field, NAME), plain(&violation.description, VIOLATION));
        let size = violation.field.len() + violation.description.len();
        if size > left {
            break;
        }
        left -= size;
        kept.push(violation);
    }
    kept
}

/// The facts, each as far as there is room.
pub(super) fn facts(all: &HashMap<String, String>) -> HashMap<String, String> {
    all.iter()
        .map(|(key, value)| (key.clone(), plain(value, NAME)))
        .collect()
}

fn plain(text: &str, most: usize) -> String {
    cut(text, most, char::len_utf8)
}

fn cut(text: &str, most: usize, size: impl Fn(char) -> usize) -> String {
    let mut used = 0;
    let mut fits = text.len();
    for (at, letter) in text.char_indices() {
        if used + CUT.len() <= most {
            fits = at;
        }
        used += size(letter);
        if used > most {
            return format!("{}{CUT}", &text[..fits]);
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_just_over_their_limit_and_not_just_under() {
        for (letter, size) in [("a", 1), ("%", 3), ("ü", 6), ("\n", 3)] {
            let fits = letter.repeat(MESSAGE / size);
            assert_eq!(message(&fits), fits);
            let over = message(&letter.repeat(MESSAGE / size + 1));
            assert!(over.ends_with(CUT) && over.len() < fits.len() + CUT.len(), "{letter}");
            assert!((over.len() - CUT.len()) / letter.len() * size + CUT.len() <= MESSAGE);
        }
    }

    #[test]
    fn violations_have_room_together() {
        let long = |number: usize| FieldViolation::new(format!("f{number}"), "x".repeat(5_000));
        let kept = violations(&(0..50).map(long).collect::<Vec<_>>());
        assert_eq!((kept.len(), kept[0].field.as_str()), (2, "f0"));
        let short = |number: usize| FieldViolation::new(format!("f{number:02}"), "must be 1 to 9");
        assert_eq!(violations(&(0..50).map(short).collect::<Vec<_>>()).len(), 50);
    }
}
