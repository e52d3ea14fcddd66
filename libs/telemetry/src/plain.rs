//! Log lines that hold nothing but what they show: colours only where a person looks, and no control character of what
//! came from outside, so that no value can move a cursor, hide a line or begin one.

use std::borrow::Cow;
use std::fmt::{self, Debug, Write};

use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::prelude::*;

/// Whether text on a stream may have colours: on a terminal, unless `NO_COLOR` is set, and anywhere when
/// `CLICOLOR_FORCE` is set to something other than 0. `variable` looks a variable of the environment up.
#[must_use]
pub fn colours(terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    if set("NO_COLOR").is_some() {
        return false;
    }
    terminal || set("CLICOLOR_FORCE").is_some_and(|value| value != "0")
}

/// A text with its control characters written out, also those that turn the direction of what follows. A tab stays.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_control(c) {
            written.extend(c.escape_default());
        } else {
            written.push(c);
        }
    }
    Cow::Owned(written)
}

pub(crate) fn is_control(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    (c.is_control() && c != '\t') || turns
}

/// Writes the fields of events and spans for people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainFields;

impl<'writer> FormatFields<'writer> for PlainFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let one = |writer: &mut Writer<'_>, field: &tracing::field::Field, value: &dyn Debug| {
            let mut text = String::new();
            write!(text, "{value:?}")?;
            match field.name() {
                "message" => writer.write_str(&plain(&text)),
                name => write!(writer, "{name}={}", plain(&text)),
            }
        };
        debug_fn(one).delimited(" ").format_fields(writer, fields)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn colours_are_for_terminals_and_for_who_asks() {
        let environment = |no: Option<&'static str>, force: Option<&'static str>| {
            move |name: &str| match name {
                "NO_COLOR" => no.map(str::to_owned),
                "CLICOLOR_FORCE" => force.map(str::to_owned),
                _ => None,
            }
        };
        assert!(colours(true, environment(None, None)) && !colours(false, environment(None, None)));
        assert!(!colours(true, environment(Some("1"), None)) && colours(true, environment(Some(""), None)));
        assert!(colours(false, environment(None, Some("1"))) && !colours(false, environment(None, Some("0"))));
        assert!(!colours(true, environment(Some("1"), Some("1"))));
    }

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(plain("a\tb ü"), "a\tb ü");
        assert_eq!(
            plain("a\u{1b}[31m\nb\u{9b}\u{7f}\0"),
            "a\\u{1b}[31m\\nb\\u{9b}\\u{7f}\\u{0}"
        );
        assert_eq!(plain("x\u{202e}y"), "x\\u{202e}y");
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("lines").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_value_reaches_a_line_raw() {
        let bad = "x\u{1b}]0;t\u{7}\r\ny\u{9b}31m";
        for json in [false, true] {
            let lines = Lines::default();
            let written = lines.clone();
            let layer = crate::lines_to(json, false, move || written.clone());
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
                let span = tracing::info_span!("attempt", task = %bad);
                let _entered = span.enter();
                tracing::warn!(worker = bad, error = %bad, other = ?bad, "a message of {bad}");
            });
            let text = String::from_utf8(lines.0.lock().expect("lines").clone()).expect("text");
            assert_eq!(text.lines().count(), 1, "{text:?}");
            assert!(!text.trim_end().contains(is_control), "{text:?}");
            for part in ["worker", "error", "a message of", "task"] {
                assert!(text.contains(part), "{text}");
            }
        }
    }
}
