//! What changed between two workflows: place by place in their documents, and line by line in their texts.

use serde_json::Value;
use similar::TextDiff;

use crate::names::pointer_segment;

/// Above this many lines in all, a line-by-line comparison may take seconds and is not made.
const MAX_LINES: usize = 20_000;

/// What happened to a place in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Its value changed.
    Changed,
}

/// One change between two documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// JSON pointer to the place.
    pub path: String,
    /// The old value; absent when added.
    pub before: Option<Value>,
    /// The new value; absent when removed.
    pub after: Option<Value>,
}

/// The changes from one document to another, in the order of the document, those of a map before what was added to it.
/// The order of keys is no change. Lists of different lengths are one change.
#[must_use]
pub fn diff(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(before, after, "", &mut changes);
    changes
}

fn compare(before: &Value, after: &Value, path: &str, changes: &mut Vec<Change>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                let path = format!("{path}/{}", pointer_segment(key));
                match new.get(key) {
                    Some(other) => compare(value, other, &path, changes),
                    None => changes.push(Change {
                        kind: ChangeKind::Removed,
                        path,
                        before: Some(value.clone()),
                        after: None,
                    }),
                }
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                changes.push(Change {
                    kind: ChangeKind::Added,
                    path: format!("{path}/{}", pointer_segment(key)),
                    before: None,
                    after: Some(value.clone()),
                });
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (i, (value, other)) in old.iter().zip(new).enumerate() {
                compare(value, other, &format!("{path}/{i}"), changes);
            }
        }
        _ if before == after => {}
        _ => changes.push(Change {
            kind: ChangeKind::Changed,
            path: path.to_owned(),
            before: Some(before.clone()),
            after: Some(after.clone()),
        }),
    }
}

/// Two texts as a unified diff with three lines around each change; empty when they are equal.
#[must_use]
pub fn unified(before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    if before.lines().count() + after.lines().count() > MAX_LINES {
        return "--- before\n+++ after\n# the texts are too long to be compared line by line\n".to_owned();
    }
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header("before", "after")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_are_named_place_by_place() {
        let before = json!({"name": "w", "tasks": {"a": {"retry": {"max_attempts": 1}}, "b/c": {"noop": {}}}, "list": [1, 2], "same": [1]});
        let after = json!({"tasks": {"a": {"retry": {"max_attempts": 3}, "queue": "q"}, "d": 1}, "name": "w", "list": [1], "same": [2]});
        let shown: Vec<String> = diff(&before, &after)
            .iter()
            .map(|c| {
                format!(
                    "{:?} {} {:?} {:?}",
                    c.kind,
                    c.path,
                    c.before.as_ref().map(Value::to_string),
                    c.after.as_ref().map(Value::to_string)
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#"Changed /tasks/a/retry/max_attempts Some("1") Some("3")"#,
                r#"Added /tasks/a/queue None Some("\"q\"")"#,
                r#"Removed /tasks/b~1c Some("{\"noop\":{}}") None"#,
                r#"Added /tasks/d None Some("1")"#,
                r#"Changed /list Some("[1,2]") Some("[1]")"#,
                r#"Changed /same/0 Some("1") Some("2")"#,
            ]
        );
        assert!(diff(&before, &before).is_empty());
    }

    #[test]
    fn texts_are_compared_line_by_line() {
        assert_eq!(
            unified("a\nb\nc\n", "a\nx\nc\n"),
            "--- before\n+++ after\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n"
        );
        assert_eq!(unified("a", "a"), "");
        assert!(unified(&"a\n".repeat(15_000), &"b\n".repeat(15_000)).contains("too long"));
    }
}
