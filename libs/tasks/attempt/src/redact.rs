//! Takes secrets out of whatever a task says, in the forms that they usually take, before anything is cut or stored.

use std::borrow::Cow;
use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// What stands where a secret stood.
pub const MASK: &str = "***";
/// The mask as a JSON text.
const MASK_TEXT: &str = "\"***\"";

/// Shorter values are not redacted: they would take half of every log with them.
const MIN_SECRET: usize = 4;
/// Shorter parts of a secret of several parts say little, and stand in much that is no secret.
const MIN_PART: usize = 8;
/// Shorter base64 cores are too likely to be something else.
const MIN_BASE64: usize = 6;

/// Replaces secrets by [`MASK`]. Made once per attempt, from the secrets that the attempt was given.
#[derive(Debug, Default)]
pub struct Redactor {
    matcher: Option<AhoCorasick>,
    patterns: Vec<Vec<u8>>,
}

impl Redactor {
    /// A redactor of these secrets: as they are, percent-encoded, JSON-escaped and in base64 at each of its three
    /// alignments; a secret of several lines also line by line, and one that is JSON (a service account's key) also text
    /// by text.
    #[must_use]
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let mut patterns = BTreeSet::new();
        for secret in secrets {
            let secret = secret.as_ref();
            add_forms(secret, &mut patterns);
            for line in secret.lines().map(str::trim).filter(|line| line.len() >= MIN_PART) {
                add_forms(line, &mut patterns);
            }
            if let Ok(parts @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(secret) {
                add_parts(&parts, &mut patterns);
            }
        }
        let patterns: Vec<Vec<u8>> = patterns.into_iter().collect();
        let matcher = (!patterns.is_empty())
            .then(|| {
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostLongest)
                    .build(&patterns)
                    .ok()
            })
            .flatten();
        Self { matcher, patterns }
    }

    /// True when there is nothing to redact.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.matcher.is_none()
    }

    /// A text without secrets.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match &self.matcher {
            Some(matcher) if matcher.is_match(text) => {
                let mut clean = String::with_capacity(text.len());
                matcher.replace_all_with(text, &mut clean, |_, _, out| {
                    out.push_str(MASK);
                    true
                });
                Cow::Owned(clean)
            }
            _ => Cow::Borrowed(text),
        }
    }

    /// A value without secrets, in keys as well as in values.
    #[must_use]
    pub fn value(&self, value: Value) -> Value {
        if self.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.text(&text).into_owned()),
            Value::Number(number) if self.text(&number.to_string()) != number.to_string() => {
                Value::String(MASK.to_owned())
            }
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(key, item)| (self.text(&key).into_owned(), self.value(item)))
                .collect(),
            other => other,
        }
    }

    /// A JSON text without secrets that is still JSON. Numbers keep their digits: the text is walked, not parsed.
    #[must_use]
    pub fn json<'a>(&self, json: &'a str) -> Cow<'a, str> {
        if self.is_empty() {
            return Cow::Borrowed(json);
        }
        let mut clean = String::with_capacity(json.len());
        let mut rest = json;
        while let Some(first) = rest.chars().next() {
            let length = token_length(rest, first);
            let (token, tail) = rest.split_at(length);
            rest = tail;
            match serde_json::from_str::<String>(token) {
                Ok(text) if first == '"' => {
                    let redacted = self.text(&text);
                    if redacted != text.as_str() {
                        clean.push_str(&Value::String(redacted.into_owned()).to_string());
                    } else if self.is_in(token) {
                        // A secret that ends in a quote, or that only the spelling makes.
                        clean.push_str(MASK_TEXT);
                    } else {
                        clean.push_str(token);
                    }
                }
                _ if self.is_in(token) => clean.push_str(MASK_TEXT),
                _ => clean.push_str(token),
            }
        }
        if self.is_in(&clean) {
            // A secret that is itself JSON stands over several tokens, which no part of the text can be cut out of.
            return Cow::Borrowed(MASK_TEXT);
        }
        Cow::Owned(clean)
    }

    fn is_in(&self, text: &str) -> bool {
        self.matcher.as_ref().is_some_and(|matcher| matcher.is_match(text))
    }

    /// Starts the redaction of a stream of bytes that arrive in pieces.
    #[must_use]
    pub fn stream(&self) -> RedactStream<'_> {
        RedactStream {
            redactor: self,
            held: Vec::new(),
        }
    }

    /// Start of the longest end of `bytes` that could become a secret with the bytes to come.
    fn hold_from(&self, bytes: &[u8]) -> usize {
        let longest = self.patterns.iter().map(Vec::len).max().unwrap_or(0);
        let first = bytes.len().saturating_sub(longest.saturating_sub(1));
        (first..bytes.len())
            .find(|start| {
                let tail = &bytes[*start..];
                self.patterns
                    .iter()
                    .any(|p| p.len() > tail.len() && p.starts_with(tail))
            })
            .unwrap_or(bytes.len())
    }
}

/// Length of the token at the start of a JSON text: a string, a scalar, or one punctuation or space.
fn token_length(rest: &str, first: char) -> usize {
    if first == '"' {
        let mut escaped = false;
        for (index, byte) in rest.bytes().enumerate().skip(1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return index + 1,
                _ => {}
            }
        }
        return rest.len();
    }
    let scalar = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.');
    if scalar(first) {
        return rest.find(|c| !scalar(c)).unwrap_or(rest.len());
    }
    first.len_utf8()
}

/// Redacts bytes that arrive in pieces; a secret that spans pieces is found.
pub struct RedactStream<'a> {
    redactor: &'a Redactor,
    held: Vec<u8>,
}

impl RedactStream<'_> {
    /// Takes a piece and gives to `out` what is certain to hold no secret. With `last` nothing is held back.
    pub fn push(&mut self, piece: &[u8], last: bool, out: &mut Vec<u8>) {
        let Some(matcher) = &self.redactor.matcher else {
            out.extend_from_slice(piece);
            return;
        };
        self.held.extend_from_slice(piece);
        let bytes = std::mem::take(&mut self.held);
        let mut at = 0;
        loop {
            let hold = if last {
                bytes.len()
            } else {
                at + self.redactor.hold_from(&bytes[at..])
            };
            match matcher.find(&bytes[at..]) {
                Some(found) if at + found.start() < hold => {
                    out.extend_from_slice(&bytes[at..at + found.start()]);
                    out.extend_from_slice(MASK.as_bytes());
                    at += found.end();
                }
                _ => {
                    out.extend_from_slice(&bytes[at..hold]);
                    self.held = bytes[hold..].to_vec();
                    return;
                }
            }
        }
    }
}

/// Adds every text of a secret that is JSON.
fn add_parts(value: &Value, patterns: &mut BTreeSet<Vec<u8>>) {
    match value {
        Value::String(text) if text.len() >= MIN_PART => add_forms(text, patterns),
        Value::Array(items) => items.iter().for_each(|item| add_parts(item, patterns)),
        Value::Object(map) => map.values().for_each(|item| add_parts(item, patterns)),
        _ => {}
    }
}

/// Adds every form of a secret.
fn add_forms(secret: &str, patterns: &mut BTreeSet<Vec<u8>>) {
    if secret.len() < MIN_SECRET {
        return;
    }
    let mut add = |form: String| {
        if form.len() >= MIN_SECRET {
            patterns.insert(form.into_bytes());
        }
    };
    add(secret.to_owned());
    add(percent(secret, true));
    add(percent(secret, false));
    add(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    let escaped = Value::String(secret.to_owned()).to_string();
    add(escaped[1..escaped.len() - 1].to_owned());
    add(ascii_json(secret));
    for lead in 0..3 {
        add_base64(secret, lead, &mut add);
    }
}

/// The characters that a secret gives in base64 whatever `lead` bytes stand before it and whatever follows.
fn add_base64(secret: &str, lead: usize, add: &mut impl FnMut(String)) {
    let mut bytes = vec![0; lead];
    bytes.extend_from_slice(secret.as_bytes());
    // A character holds 6 bits; those that share bits with a neighbour's byte are left out.
    let from = (lead * 8).div_ceil(6);
    let to = bytes.len() * 8 / 6;
    if to.saturating_sub(from) < MIN_BASE64 {
        return;
    }
    for text in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
        add(text[from..to].to_owned());
    }
}

fn percent(secret: &str, upper: bool) -> String {
    let mut out = String::new();
    for byte in secret.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ if upper => out.push_str(&format!("%{byte:02X}")),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

/// The secret as a JSON writer that keeps to ASCII spells it.
fn ascii_json(secret: &str) -> String {
    let mut out = String::new();
    for c in secret.chars() {
        if c.is_ascii() {
            let escaped = Value::String(c.to_string()).to_string();
            out.push_str(&escaped[1..escaped.len() - 1]);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr3t/pä\"ss+word";

    #[test]
    fn every_usual_form_is_found() {
        let redactor = Redactor::new([SECRET]);
        let engine = base64::engine::general_purpose::STANDARD;
        let mut forms = vec![
            SECRET.to_owned(),
            percent(SECRET, true),
            percent(SECRET, false),
            Value::String(SECRET.to_owned()).to_string(),
            ascii_json(SECRET),
        ];
        for prefix in ["", "u", "us", "use", "user:"] {
            forms.push(engine.encode(format!("{prefix}{SECRET}:tail")));
        }
        for form in forms {
            let clean = redactor.text(&form);
            assert!(clean.contains(MASK), "{form} -> {clean}");
            assert!(!clean.contains("s3cr3t"), "{form} -> {clean}");
        }
    }

    #[test]
    fn a_secret_over_pieces_is_found_and_nothing_else_waits() {
        let redactor = Redactor::new(["abcdef", "abcdefgh"]);
        let text = b"xx abcdef yy abcdefgh zz abcde";
        for size in 1..text.len() {
            let mut stream = redactor.stream();
            let mut out = Vec::new();
            for piece in text.chunks(size) {
                stream.push(piece, false, &mut out);
            }
            stream.push(b"", true, &mut out);
            assert_eq!(
                String::from_utf8_lossy(&out),
                "xx *** yy *** zz abcde",
                "pieces of {size}"
            );
        }
        let mut stream = redactor.stream();
        let mut out = Vec::new();
        stream.push(b"progress 1\n", false, &mut out);
        assert_eq!(out, b"progress 1\n");
    }

    #[test]
    fn json_stays_json_and_numbers_stay_exact() {
        let redactor = Redactor::new(["12345678", "tok\"en"]);
        let clean =
            redactor.json(r#"{"n": 12345678, "big": 99999999999999999999.10, "s": "a tok\"en b", "tok\"en": true}"#);
        let value: Value = serde_json::from_str(&clean).expect("json");
        assert_eq!(value["n"], MASK);
        assert_eq!(value["s"], "a *** b");
        assert_eq!(value[MASK], true);
        assert!(clean.contains("99999999999999999999.10"), "{clean}");
    }

    #[test]
    fn a_secret_that_is_json_is_found_as_a_whole_and_by_its_texts() {
        let key = r#"{"type":"service","private_key":"0123456789abcdef","scopes":["long enough"]}"#;
        let redactor = Redactor::new([key]);
        assert_eq!(
            redactor.json(r#"{"k":"0123456789abcdef","type":"service"}"#),
            r#"{"k":"***","type":"service"}"#
        );
        assert_eq!(redactor.text("scope: long enough"), "scope: ***");
        assert_eq!(Redactor::new(["[17,18]"]).json("[[17,18]]"), MASK_TEXT);
    }

    #[test]
    fn a_secret_with_a_quote_leaves_json_whole() {
        let redactor = Redactor::new(["abcd\""]);
        for text in [r#"{"k": "abcd", "abcd": 1}"#, r#"["abcd\"", "xabcd"]"#] {
            let clean = redactor.json(text);
            assert!(serde_json::from_str::<Value>(&clean).is_ok(), "{clean}");
            assert!(!clean.contains("abcd"), "{clean}");
        }
    }

    #[test]
    fn without_secrets_nothing_is_copied() {
        let redactor = Redactor::new(["abc", ""]);
        assert!(redactor.is_empty());
        assert!(matches!(redactor.text("abc"), Cow::Borrowed("abc")));
    }

    #[test]
    fn a_secret_of_several_lines_is_found_line_by_line() {
        let redactor = Redactor::new(["-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----"]);
        assert_eq!(redactor.text("line: MIIEvQIBADANBg"), "line: ***");
    }
}
