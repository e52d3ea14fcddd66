//! Redaction: a secret is in nothing that leaves, however the bytes were cut into pieces, and JSON stays JSON.
//!
//! The input is secrets, one a line, a line `---`, and what a task says. A `\` before an `n` in a secret is a line break.

use nexus_tasks::{MASK, Redactor};
use serde_json::Value;

pub(crate) const WORDS: &[&str] = &[
    "\n---\n",
    "hunter2",
    "s3cr3t/p",
    "abcdef",
    "abcdefgh",
    "12345678",
    "aaaa",
    "\\n",
    "\n",
    "\r\n",
    "\u{0}",
    "\"",
    "\\\"",
    "\\u0061",
    "\\",
    "%2F",
    "%2f",
    "+",
    "{\"a\": \"",
    "\"}",
    "[",
    "]",
    ",",
    ": ",
    "1234567890.5",
    "null",
    "true",
    "c2VjcmV0",
    "ä",
    "\\u00e4",
    "🦀",
    " ",
    "\u{feff}",
    "{\"key\":\"value\"}",
    "-----BEGIN-----",
];

/// Shorter secrets are not redacted.
const LEAST: usize = 4;
/// What the log itself adds to a line that was cut.
const CUT_MARK: &str = " … [line cut]";

/// Redacts what a task says as a text, as a log in pieces, and as JSON.
pub fn redactor(data: &[u8]) {
    let mark = data.windows(5).position(|window| window == b"\n---\n");
    let Some(mark) = mark else { return };
    let head = String::from_utf8_lossy(&data[..mark]).into_owned();
    let secrets: Vec<String> = head
        .split('\n')
        .map(|line| line.replace("\\n", "\n"))
        // One that holds the mask, or what invalid bytes are replaced by, can come to be where it never was.
        .filter(|secret| secret.len() >= LEAST && !secret.contains(['*', '\u{fffd}', '\0']))
        .filter(|secret| !CUT_MARK.contains(secret.as_str()))
        .take(8)
        .collect();
    let said = &data[mark + 5..];
    let redactor = Redactor::new(&secrets);
    let text = String::from_utf8_lossy(said);
    let clean = redactor.text(&text);
    absent(&secrets, &clean, "the text");
    log(&redactor, &secrets, said);
    json(&redactor, &secrets, &text);
}

/// In pieces of several sizes: the same lines, none with a secret.
fn log(redactor: &Redactor, secrets: &[String], said: &[u8]) {
    let whole = redactor.log_lines([said]);
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(redactor.log_lines(said.chunks(size)), whole, "in pieces of {size}");
    }
    for line in &whole {
        absent(secrets, line.strip_suffix(CUT_MARK).unwrap_or(line), "the log");
    }
}

fn json(redactor: &Redactor, secrets: &[String], text: &str) {
    let clean = redactor.json(text);
    let Ok(said) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let left: Value = serde_json::from_str(&clean).unwrap_or_else(|error| panic!("{text} became {clean}: {error}"));
    absent(secrets, &clean, "the JSON");
    texts(&left, &mut |part| absent(secrets, part, "the JSON"));
    texts(&redactor.value(said), &mut |part| absent(secrets, part, "the value"));
}

fn texts(value: &Value, check: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => check(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, check)),
        Value::Object(map) => {
            for (key, item) in map {
                check(key);
                texts(item, check);
            }
        }
        other => check(&other.to_string()),
    }
}

fn absent(secrets: &[String], text: &str, place: &str) {
    // What the mask splits was not there in one piece.
    for part in text.split(MASK) {
        for secret in secrets {
            assert!(!part.contains(secret.as_str()), "{secret:?} is in {place}: {text:?}");
        }
    }
}
