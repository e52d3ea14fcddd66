//! Names: turns text into ids and pointers.

/// A key as a segment of a JSON pointer.
#[must_use]
pub fn pointer_segment(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A text turned into an id: `[a-z][a-z0-9_]{0,62}`. `prefix` starts it when its own first character cannot.
#[must_use]
pub fn to_id(text: &str, prefix: &str) -> String {
    let mut id = String::new();
    for c in text.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            id.push(c);
        } else if !id.is_empty() && !id.ends_with('_') {
            id.push('_');
        }
    }
    let id = id.trim_end_matches('_');
    let mut id = match id.chars().next() {
        Some(first) if first.is_ascii_lowercase() => id.to_owned(),
        Some(_) => format!("{prefix}_{id}"),
        None => prefix.to_owned(),
    };
    id.truncate(63);
    id
}

/// True when a text is an id: `[a-z][a-z0-9_]{0,62}`.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// True when a text is the name of a channel: `[a-z][a-z0-9_-]{0,62}`.
#[must_use]
pub fn is_channel(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_becomes_an_id() {
        for (text, id) in [
            ("Load-Orders", "load_orders"),
            ("1st step", "task_1st_step"),
            ("--", "task"),
            ("ok_2", "ok_2"),
            ("Ünal", "nal"),
        ] {
            assert_eq!(to_id(text, "task"), id);
            assert!(is_id(&to_id(text, "task")));
        }
        assert!(is_id(&to_id(&"x".repeat(100), "task")));
        assert!(!is_id("a-b") && !is_id("") && !is_id("_a") && !is_id(&"x".repeat(64)));
    }
}
