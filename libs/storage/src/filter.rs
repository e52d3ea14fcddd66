//! Filters of lists: terms joined by AND (a subset of AIP-160).
//!
//! ```text
//! workflow = "etl" AND state = FAILED AND labels.team = "data" AND create_time > "2026-01-01T00:00:00Z"
//! ```

/// How a term compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`: is.
    Equal,
    /// `:`: contains.
    Contains,
    /// `<`: is before.
    Before,
    /// `>`: is after.
    After,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The field, as the caller declared it; `labels` for every label.
    pub field: String,
    /// The label's key, for the field `labels`.
    pub key: String,
    /// How it compares.
    pub operator: Operator,
    /// What with.
    pub value: String,
}

/// A field that a list can be filtered by, and the operators that make sense for it.
pub type Field = (&'static str, &'static [Operator]);

/// A filter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter: {problem} at character {at}; fields are {fields}, joined by AND")]
pub struct FilterError {
    problem: String,
    at: usize,
    fields: String,
}

/// Longest filter.
const MAX_LENGTH: usize = 4_096;

/// Reads a filter; an empty one has no terms.
///
/// # Errors
/// When it cannot be read, or names a field or operator that is not among `fields`.
pub fn parse(text: &str, fields: &[Field]) -> Result<Vec<Term>, FilterError> {
    let mut reader = Reader { text, at: 0, fields };
    if text.len() > MAX_LENGTH {
        return Err(reader.error(format!("longer than {MAX_LENGTH} bytes")));
    }
    let mut terms = Vec::new();
    reader.skip_space();
    while !reader.rest().is_empty() {
        if !terms.is_empty() {
            reader.expect_and()?;
        }
        terms.push(reader.term()?);
        reader.skip_space();
    }
    Ok(terms)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    fields: &'a [Field],
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn error(&self, problem: impl Into<String>) -> FilterError {
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| *name).collect();
        let at = self.text[..self.at].chars().count() + 1;
        FilterError {
            problem: problem.into(),
            at,
            fields: names.join(", "),
        }
    }

    fn expect_and(&mut self) -> Result<(), FilterError> {
        let rest = self.rest();
        match rest.get(..3) {
            Some(word) if word.eq_ignore_ascii_case("and") && rest[3..].starts_with(char::is_whitespace) => {
                self.at += 3;
                self.skip_space();
                Ok(())
            }
            _ => Err(self.error("expected AND")),
        }
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')))
            .unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn term(&mut self) -> Result<Term, FilterError> {
        let begin = self.at;
        let name = self.word();
        let (field, key) = match name.split_once('.') {
            Some(("labels", key)) => ("labels", key),
            _ => (name, ""),
        };
        let known = self.fields.iter().find(|(known, _)| *known == field);
        let Some((_, operators)) = known.filter(|_| (field == "labels") == !key.is_empty()) else {
            self.at = begin;
            return Err(self.error(format!("unknown field {name:?}")));
        };
        self.skip_space();
        let operator = match self.rest().chars().next() {
            Some('=') => Operator::Equal,
            Some(':') => Operator::Contains,
            Some('<') => Operator::Before,
            Some('>') => Operator::After,
            _ => return Err(self.error("expected an operator (= : < >)")),
        };
        if !operators.contains(&operator) {
            return Err(self.error(format!("field {field} cannot be compared like that")));
        }
        self.at += 1;
        self.skip_space();
        let value = self.value()?;
        Ok(Term {
            field: field.to_owned(),
            key: key.to_owned(),
            operator,
            value,
        })
    }

    fn value(&mut self) -> Result<String, FilterError> {
        if !self.rest().starts_with('"') {
            let word = self.word();
            return if word.is_empty() {
                Err(self.error("expected a value"))
            } else {
                Ok(word.to_owned())
            };
        }
        let mut value = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += offset + 1;
                    return Ok(value);
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                other => value.push(other),
            }
        }
        Err(self.error("the quotes are not closed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[Field] = &[
        ("state", &[Operator::Equal]),
        ("labels", &[Operator::Equal]),
        ("create_time", &[Operator::Before, Operator::After]),
    ];

    #[test]
    fn terms_are_read() {
        let terms = parse(
            r#" state = FAILED AND labels.team="da\"ta" and create_time > 2026-01-01 "#,
            FIELDS,
        );
        let read: Vec<_> = terms
            .expect("terms")
            .into_iter()
            .map(|t| (t.field, t.key, t.operator, t.value))
            .collect();
        assert_eq!(
            read,
            [
                ("state".into(), String::new(), Operator::Equal, "FAILED".into()),
                ("labels".into(), "team".into(), Operator::Equal, "da\"ta".into()),
                (
                    "create_time".into(),
                    String::new(),
                    Operator::After,
                    "2026-01-01".to_owned()
                ),
            ]
        );
        assert!(parse("", FIELDS).expect("empty").is_empty());
    }

    #[test]
    fn mistakes_say_where_and_what_there_is() {
        for (text, part) in [
            (
                "nope = 1",
                "unknown field \"nope\" at character 1; fields are state, labels, create_time",
            ),
            ("state : x", "cannot be compared"),
            ("state = \"x", "quotes are not closed"),
            ("state = x state = y", "expected AND at character 11"),
            ("state", "expected an operator"),
            ("labels = x", "unknown field"),
            ("state = ", "expected a value"),
        ] {
            let error = parse(text, FIELDS).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
