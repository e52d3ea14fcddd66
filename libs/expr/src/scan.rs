//! Finds the `{{ … }}` in a text. Knows string literals and nested braces, and nothing else of the language.

use super::error::ExprError;

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Literal text.
    Text(&'a str),
    /// The source of an expression, trimmed, and where it starts, in characters from 0.
    Expr { source: &'a str, offset: usize },
}

/// True when the text may hold an expression or one of the forms that are refused.
pub(super) fn may_hold_expression(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// Splits a text at its expressions.
pub(super) fn split(text: &str) -> Result<Vec<Part<'_>>, ExprError> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(found) = find_opening(&text[at..]) {
        let open = at + found;
        if text[open..].starts_with("{%") || text[open..].starts_with("{#") {
            return Err(refused_form(text, open));
        }
        if open > at {
            parts.push(Part::Text(&text[at..open]));
        }
        let start = open + 2;
        let end = find_closing(text, open)?;
        parts.push(expression(text, start, end)?);
        at = end + 2;
    }
    if at < text.len() {
        parts.push(Part::Text(&text[at..]));
    }
    Ok(parts)
}

fn find_opening(text: &str) -> Option<usize> {
    text.as_bytes()
        .windows(2)
        .position(|pair| matches!(pair, b"{{" | b"{%" | b"{#"))
}

fn refused_form(text: &str, open: usize) -> ExprError {
    let form = &text[open..open + 2];
    let what = if form == "{%" { "statements" } else { "comments" };
    ExprError::new(format!("only {{{{ … }}}} is read in values, no {what} ({form})"))
        .fix(format!("write {{{{ '{form}' }}}} for the characters themselves"))
        .at(text[..open].chars().count())
}

/// The byte position of the `}}` that closes the `{{` at `open`.
fn find_closing(text: &str, open: usize) -> Result<usize, ExprError> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut quote = None;
    let mut i = open + 2;
    while i < bytes.len() {
        let byte = bytes[i];
        match quote {
            Some(_) if byte == b'\\' => i += 1,
            Some(mark) if byte == mark => quote = None,
            Some(_) => {}
            None => match byte {
                b'\'' | b'"' => quote = Some(byte),
                b'{' => depth += 1,
                b'}' if depth > 0 => depth -= 1,
                b'}' if bytes.get(i + 1) == Some(&b'}') => return Ok(i),
                _ => {}
            },
        }
        i += 1;
    }
    let message = if quote.is_some() {
        "a quoted string inside {{ … }} is not closed"
    } else {
        "{{ is not closed by }}"
    };
    Err(ExprError::new(message)
        .fix("close it, or write {{ '{{' }} for the characters themselves")
        .at(text[..open].chars().count()))
}

fn expression(text: &str, start: usize, end: usize) -> Result<Part<'_>, ExprError> {
    let inner = &text[start..end];
    // `{{-` trims blanks in Jinja, and would silently be a negative number here.
    if inner.starts_with('-') || inner.ends_with('-') {
        return Err(ExprError::new("blanks are not trimmed by {{- or -}} here")
            .fix("write {{ and }}; put a blank before a minus sign")
            .at(text[..start].chars().count()));
    }
    let source = inner.trim();
    let offset = text[..start].chars().count() + inner.len().min(leading_blanks(inner));
    if source.is_empty() {
        return Err(ExprError::new("{{ }} holds no expression").at(offset));
    }
    Ok(Part::Expr { source, offset })
}

fn leading_blanks(text: &str) -> usize {
    text.chars().take_while(|c| c.is_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sources(text: &str) -> Vec<String> {
        split(text)
            .unwrap()
            .into_iter()
            .map(|part| match part {
                Part::Text(text) => format!("text {text}"),
                Part::Expr { source, offset } => format!("expr@{offset} {source}"),
            })
            .collect()
    }

    #[test]
    fn braces_inside_strings_and_dicts_do_not_close() {
        assert_eq!(sources("{{ '}}' }}"), ["expr@3 '}}'"]);
        assert_eq!(sources(r#"{{ "a\"}}" }}x"#), [r#"expr@3 "a\"}}""#, "text x"]);
        assert_eq!(sources("{{ {'a': {'b': 1}} }}"), ["expr@3 {'a': {'b': 1}}"]);
        assert_eq!(sources("{{{'a':1}}}"), ["expr@2 {'a':1}"]);
        assert_eq!(sources("{{ '{{' }}"), ["expr@3 '{{'"]);
        assert_eq!(
            sources("a {{ b }}{{c}} }} d"),
            ["text a ", "expr@5 b", "expr@11 c", "text  }} d"]
        );
    }

    #[test]
    fn offsets_count_characters() {
        assert_eq!(sources("äö {{ x }}"), ["text äö ", "expr@6 x"]);
    }

    #[test]
    fn other_forms_are_refused_by_name() {
        for (text, part) in [
            ("{% for x in y %}", "statements"),
            ("{# note #}", "comments"),
            ("{{ x", "not closed"),
            ("{{ 'x }}", "quoted string"),
            ("{{- x }}", "trimmed"),
            ("{{ x -}}", "trimmed"),
            ("{{   }}", "no expression"),
        ] {
            let message = split(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_split_without_loss_or_panic(text in "[a-z'\"{}%# äö\\\\-]{0,40}") {
            if let Ok(parts) = split(&text) {
                let literal: usize = parts.iter().map(|p| if let Part::Text(t) = p { t.len() } else { 0 }).sum();
                prop_assert!(literal <= text.len());
                if !may_hold_expression(&text) {
                    prop_assert_eq!(literal, text.len());
                }
            }
        }
    }
}
