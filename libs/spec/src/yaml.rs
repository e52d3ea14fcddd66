//! Canonical YAML: block style, scripts as literal blocks, nothing quoted that need not be. Whatever is written here is
//! read back as the same value.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::model::Workflow;
use crate::source::is_plain_text;

/// Longest list of plain words that is written on one line, in characters.
const LINE: usize = 80;

/// The workflow as canonical YAML.
#[must_use]
pub fn to_yaml(workflow: &Workflow) -> String {
    // Text keys and plain values only: this cannot fail.
    emit(&serde_json::to_value(workflow).unwrap_or_default())
}

/// Any JSON value as YAML.
#[must_use]
pub(crate) fn emit(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => entries(&mut text, map, 0),
        Value::Array(items) if !items.is_empty() => list(&mut text, items, 0),
        scalar => {
            text.push_str(&inline(scalar));
            text.push('\n');
        }
    }
    text
}

fn entries(text: &mut String, map: &Map<String, Value>, indent: usize) {
    for (key, value) in map {
        pad(text, indent);
        text.push_str(&word(key));
        text.push(':');
        after_key(text, value, indent);
    }
}

fn after_key(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            entries(text, map, indent + 2);
        }
        Value::Array(items) if !items.is_empty() && !fits_on_a_line(items) => {
            text.push('\n');
            list(text, items, indent + 2);
        }
        Value::String(string) if is_block(string) => block(text, string, indent + 2),
        other => {
            text.push(' ');
            text.push_str(&inline(other));
            text.push('\n');
        }
    }
}

fn list(text: &mut String, items: &[Value], indent: usize) {
    for item in items {
        pad(text, indent);
        text.push('-');
        match item {
            // The first key of a map stands beside the dash.
            Value::Object(map) if !map.is_empty() => {
                let mut inner = String::new();
                entries(&mut inner, map, indent + 2);
                text.push(' ');
                text.push_str(inner.trim_start_matches(' '));
            }
            other => after_key(text, other, indent),
        }
    }
}

fn fits_on_a_line(items: &[Value]) -> bool {
    let mut length = 0;
    items.iter().all(|item| {
        let simple = match item {
            Value::String(string) => is_plain(string),
            Value::Array(_) | Value::Object(_) => false,
            _ => true,
        };
        length += item.to_string().len() + 2;
        simple && length <= LINE
    })
}

/// A value on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::String(string) => word(string),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        // Only empty maps come here.
        other => other.to_string(),
    }
}

/// A text on one line, quoted as JSON when it must be; every JSON string is also a YAML one.
fn word(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quote(text) }
}

fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    for c in Value::String(text.to_owned()).to_string().chars() {
        // JSON leaves these as they are; YAML takes them for line breaks or refuses them.
        if matches!(
            c,
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        ) {
            // Writing to a String never fails.
            let _ = write!(quoted, "\\u{:04x}", u32::from(c));
        } else {
            quoted.push(c);
        }
    }
    quoted
}

/// True for text that needs no quotes anywhere, not even inside `[…]`.
fn is_plain(text: &str) -> bool {
    let inner =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-' | '+' | '@' | '$' | '(' | ')' | ';');
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '$'))
        && text.chars().all(|c| inner(c) || c == ' ')
        && !text.ends_with(' ')
        && text != "..."
        && text.len() <= 4 * LINE
        && is_plain_text(text)
        && !means_more_elsewhere(text)
}

/// True for text that other readers (YAML 1.1) take for a boolean, a number or a date.
fn means_more_elsewhere(text: &str) -> bool {
    const BOOLEANS: &[&str] = &["yes", "no", "on", "off"];
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '_' | '.' | ':' | '+' | '-' | 'e' | 'E');
    BOOLEANS.contains(&text.to_ascii_lowercase().as_str())
        || text.starts_with("0x")
        || text.starts_with("0o")
        || text.starts_with("0b")
        || text.starts_with(|c: char| c.is_ascii_digit() || c == '.') && text.chars().all(numeric)
}

/// True for text of several lines that a literal block keeps exactly.
fn is_block(text: &str) -> bool {
    let first = text.chars().next().unwrap_or('\n');
    text.contains('\n')
        && !first.is_whitespace()
        && text.chars().all(|c| {
            c == '\n'
                || c == '\t'
                || !(c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'))
        })
}

fn block(text: &mut String, content: &str, indent: usize) {
    let body = content.trim_end_matches('\n');
    let breaks = content.len() - body.len();
    text.push_str(match breaks {
        0 => " |-\n",
        1 => " |\n",
        _ => " |+\n",
    });
    for line in body.split('\n') {
        if !line.is_empty() {
            pad(text, indent);
            text.push_str(line);
        }
        text.push('\n');
    }
    for _ in 1..breaks {
        text.push('\n');
    }
}

fn pad(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_workflow_is_written_as_a_person_would() {
        let source = json!({
            "name": "w", "labels": {"on": "off", "n": "010"},
            "tasks": {
                "a": {"bash": {"run": "echo 1\necho 2\n", "env": {"X": "{{ params.x }}"}}},
                "b": {"needs": ["a"], "timeout": "90s", "python": {"code": "def main():\n    return 1", "args": {"list": [1, "x y", null], "deep": [{"a": 1, "b": []}, {}]}}}
            }
        });
        let workflow = parse(&source.to_string(), "").workflow.unwrap();
        let yaml = to_yaml(&workflow);
        assert_eq!(
            yaml,
            r#"name: w
labels:
  "on": "off"
  n: "010"
tasks:
  a:
    bash:
      run: |
        echo 1
        echo 2
      env:
        X: "{{ params.x }}"
  b:
    needs: [a]
    timeout: 1m30s
    python:
      code: |-
        def main():
            return 1
      args:
        list: [1, x y, null]
        deep:
          - a: 1
            b: []
          - {}
"#
        );
        assert_eq!(parse(&yaml, "").workflow.unwrap(), workflow);
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z0-9 ~:#'\"{}\\[\\],&*!|>%@`\\n\\t.-]{0,24}",
            "\\PC{0,8}",
            prop::sample::select(vec![
                "",
                "null",
                "true",
                "-",
                "...",
                "---",
                "? a",
                "1e3",
                ".5",
                "0x1",
                " x",
                "x ",
                "a\n\n",
                "\na",
                "a\n b\n",
                "\u{85}",
                "\u{2028}\n",
                "\r\n",
                "a\u{feff}\n"
            ])
            .prop_map(str::to_owned),
        ]
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9_f64).prop_map(Value::from),
            any_text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any_text(), inner), 0..5)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn what_is_written_is_read_back(value in any_json()) {
            let yaml = emit(&value);
            prop_assert_eq!(crate::source::read_value(&yaml), Some(value), "{}", yaml);
        }
    }
}
