//! Reads tokens as terms joined by AND and checks them against the caller's fields.

use super::lexer::{Token, TokenKind, tokens};
use super::{Field, FieldKind, Filter, FilterError, MAX_LENGTH, MAX_TERMS, Op, Operand, Term};
use crate::clock::parse_rfc3339;

/// Reads a filter; an empty text is the filter without terms.
///
/// # Errors
/// When the text is too long, cannot be read, names an unknown field, or compares a field with what it cannot be.
pub fn parse(source: &str, fields: &[Field]) -> Result<Filter, FilterError> {
    if source.len() > MAX_LENGTH {
        return Err(problem(format!("the filter is longer than {MAX_LENGTH} bytes"), 1));
    }
    let tokens = tokens(source)?;
    let mut filter = Filter::default();
    let mut rest = tokens.as_slice();
    let end = source.chars().count() + 1;
    while !rest.is_empty() {
        if filter.terms.len() == MAX_TERMS {
            return Err(problem(
                format!("the filter has more than {MAX_TERMS} terms"),
                rest[0].position,
            ));
        }
        let (term, after) = term(rest, fields, end)?;
        filter.terms.push(term);
        rest = match after {
            [] => after,
            [and, next @ ..] if is_word(and, "AND") => {
                if next.is_empty() {
                    return Err(problem("a term must follow AND", end));
                }
                next
            }
            [other, ..] => return Err(problem("terms are joined by AND", other.position)),
        };
    }
    Ok(filter)
}

fn term<'t>(tokens: &'t [Token], fields: &[Field], end: usize) -> Result<(Term, &'t [Token]), FilterError> {
    let [name, rest @ ..] = tokens else {
        return Err(problem("a term is missing", end));
    };
    let TokenKind::Word(path) = &name.kind else {
        return Err(problem("a term starts with a field's name", name.position));
    };
    if ["AND", "OR", "NOT"].contains(&path.as_str()) {
        return Err(problem(
            format!("{path} cannot stand here; terms are joined by AND alone"),
            name.position,
        ));
    }
    let (field, key) = find(path, fields, name.position)?;
    let [op, value, rest @ ..] = rest else {
        return Err(problem(
            format!("{path} must be followed by a comparison and a value"),
            end,
        ));
    };
    let TokenKind::Op(op_kind) = op.kind else {
        return Err(problem(
            format!("{path} must be followed by =, !=, <, <=, >, >= or :"),
            op.position,
        ));
    };
    if !allowed(field.kind).contains(&op_kind) {
        let symbols: Vec<&str> = allowed(field.kind).iter().map(|op| op.symbol()).collect();
        return Err(problem(
            format!("{} takes {}", field.name, symbols.join(", ")),
            op.position,
        ));
    }
    let operand = operand(field, value)?;
    let term = Term {
        field: field.name,
        key,
        op: op_kind,
        value: operand,
    };
    Ok((term, rest))
}

fn find<'f>(path: &str, fields: &'f [Field], position: usize) -> Result<(&'f Field, Option<String>), FilterError> {
    if let Some(field) = fields.iter().find(|field| field.name == path) {
        if field.kind == FieldKind::Map {
            return Err(problem(format!("{path} needs a key: {path}.<key>"), position));
        }
        return Ok((field, None));
    }
    if let Some((name, key)) = path.split_once('.')
        && let Some(field) = fields
            .iter()
            .find(|field| field.name == name && field.kind == FieldKind::Map)
        && !key.is_empty()
    {
        return Ok((field, Some(key.to_owned())));
    }
    let known: Vec<String> = fields
        .iter()
        .map(|field| match field.kind {
            FieldKind::Map => format!("{}.<key>", field.name),
            _ => field.name.to_owned(),
        })
        .collect();
    Err(problem(
        format!("unknown field {path:?}; the fields are {}", known.join(", ")),
        position,
    ))
}

fn allowed(kind: FieldKind) -> &'static [Op] {
    match kind {
        FieldKind::Text | FieldKind::Map => &[Op::Eq, Op::Ne, Op::Has],
        FieldKind::Enum(_) | FieldKind::Bool => &[Op::Eq, Op::Ne],
        FieldKind::Integer => &[Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge],
        FieldKind::Time => &[Op::Eq, Op::Lt, Op::Le, Op::Gt, Op::Ge],
    }
}

fn operand(field: &Field, token: &Token) -> Result<Operand, FilterError> {
    let (TokenKind::Word(text) | TokenKind::Text(text)) = &token.kind else {
        return Err(problem("a value is missing", token.position));
    };
    let name = field.name;
    let fail = |message: String| Err(problem(message, token.position));
    match field.kind {
        FieldKind::Text | FieldKind::Map => Ok(Operand::Text(text.clone())),
        FieldKind::Enum(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
            Some(word) => Ok(Operand::Text((*word).to_owned())),
            None => fail(format!("{name} is one of {}", words.join(", "))),
        },
        FieldKind::Integer => match text.parse() {
            Ok(number) => Ok(Operand::Integer(number)),
            Err(_) => fail(format!("{name} is a whole number, not {text:?}")),
        },
        FieldKind::Bool => match text.as_str() {
            "true" => Ok(Operand::Bool(true)),
            "false" => Ok(Operand::Bool(false)),
            _ => fail(format!("{name} is true or false")),
        },
        FieldKind::Time => match parse_rfc3339(text) {
            Some(micros) => Ok(Operand::Time(micros)),
            None => fail(format!("{name} is a time such as \"2026-11-01T06:00:00Z\"")),
        },
    }
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(&token.kind, TokenKind::Word(text) if text == word)
}

fn problem(message: impl Into<String>, position: usize) -> FilterError {
    FilterError {
        message: message.into(),
        position,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIELDS: &[Field] = &[
        Field {
            name: "name",
            kind: FieldKind::Text,
        },
        Field {
            name: "state",
            kind: FieldKind::Enum(&["RUNNING", "FAILED"]),
        },
        Field {
            name: "revision",
            kind: FieldKind::Integer,
        },
        Field {
            name: "dry_run",
            kind: FieldKind::Bool,
        },
        Field {
            name: "create_time",
            kind: FieldKind::Time,
        },
        Field {
            name: "labels",
            kind: FieldKind::Map,
        },
    ];

    fn problem_of(source: &str) -> String {
        parse(source, FIELDS).unwrap_err().to_string()
    }

    #[test]
    fn every_kind_of_term_is_read() {
        let source = r#"name : "or\"d" AND state = failed AND labels.team != 'data' AND revision >= 3
            AND dry_run = false AND create_time > "1970-01-01T00:00:01Z""#;
        let filter = parse(source, FIELDS).unwrap();
        let shown: Vec<String> = filter
            .terms
            .iter()
            .map(|t| format!("{}{:?} {} {:?}", t.field, t.key, t.op.symbol(), t.value))
            .collect();
        assert_eq!(
            shown,
            [
                r#"nameNone : Text("or\"d")"#,
                r#"stateNone = Text("FAILED")"#,
                r#"labelsSome("team") != Text("data")"#,
                "revisionNone >= Integer(3)",
                "dry_runNone = Bool(false)",
                "create_timeNone > Time(1000000)",
            ]
        );
        assert_eq!(parse("  ", FIELDS).unwrap(), Filter::default());
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        assert_eq!(
            problem_of("nam = x"),
            "unknown field \"nam\"; the fields are name, state, revision, dry_run, create_time, labels.<key> (at character 1)"
        );
        assert!(problem_of("name = x OR name = y").contains("joined by AND (at character 10)"));
        assert!(problem_of("NOT name = x").contains("NOT cannot stand here"));
        assert!(problem_of("name < x").contains("name takes =, !=, :"));
        assert!(problem_of("state = DONE").contains("one of RUNNING, FAILED"));
        assert!(problem_of("create_time > yesterday").contains("2026-11-01T06:00:00Z"));
        assert!(problem_of("labels = x").contains("labels.<key>"));
        assert!(problem_of("name = \"x").contains("not closed"));
        assert!(problem_of("name = x AND").contains("must follow AND"));
        assert!(problem_of("name =").contains("comparison and a value"));
        assert!(problem_of("revision = many").contains("whole number"));
        assert!(problem_of("name = (x)").contains("does not belong"));
        assert!(problem_of(&["name = x"; 21].join(" AND ")).contains("more than 20"));
        assert!(parse(&["name = x"; 20].join(" AND "), FIELDS).is_ok());
        assert!(problem_of(&"x".repeat(2_049)).contains("longer than"));
    }

    #[test]
    fn patterns_match_their_text_only() {
        assert_eq!(super::super::like_pattern("50%_a\\"), "%50\\%\\_a\\\\%");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(source in "[a-z=<>:!.'\" \\\\AND]{0,40}") {
            let _ = parse(&source, FIELDS);
        }
    }
}
