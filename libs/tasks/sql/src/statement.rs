//! From `:name` parameters to the driver's own, and the check that there is one statement only. Pure.

use indexmap::IndexMap;
use serde_json::Value;

use nexus_attempt::Failure;

/// Which database an address is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    MySql,
    Sqlite,
}

impl Dialect {
    pub(super) fn of(address: &str) -> Option<Self> {
        let scheme = address.split_once(':')?.0;
        match scheme.to_ascii_lowercase().as_str() {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mariadb" => Some(Self::MySql),
            "sqlite" => Some(Self::Sqlite),
            _ => None,
        }
    }
}

/// A statement in the driver's spelling with its values in order.
#[derive(Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
    /// True when its words say that it changes nothing. A function that it calls may; that is not looked at.
    pub(super) reads: bool,
}

/// With these a statement begins that only reads, unless one of the others stands in it.
const READING: &[&str] = &[
    "select", "values", "table", "with", "show", "explain", "describe", "desc",
];
const WRITING: &[&str] = &["into", "update", "delete", "merge", "call", "nextval", "setval"];

/// The words of a statement outside of quotes, comments and parameters.
#[derive(Default)]
struct Words {
    current: String,
    first: Option<bool>,
    writes: bool,
}

impl Words {
    fn push(&mut self, token: &str) {
        match token.chars().next() {
            Some(c) if token.len() == c.len_utf8() && (c.is_alphanumeric() || c == '_') => {
                self.current.extend(c.to_lowercase());
            }
            _ => self.end(),
        }
    }

    fn end(&mut self) {
        let word = std::mem::take(&mut self.current);
        if !word.is_empty() {
            self.first.get_or_insert_with(|| READING.contains(&word.as_str()));
            self.writes |= WRITING.contains(&word.as_str());
        }
    }

    fn read_only(mut self) -> bool {
        self.end();
        self.first == Some(true) && !self.writes
    }
}

/// Replaces `:name` by `$1` (Postgres) or `?`, outside of strings, quoted names and comments.
pub(super) fn translate(dialect: Dialect, source: &str, bind: &IndexMap<String, Value>) -> Result<Statement, Failure> {
    let source = source.trim();
    let mut sql = String::with_capacity(source.len());
    let mut values = Vec::new();
    let mut numbers: IndexMap<&str, usize> = IndexMap::new();
    let mut ended = false;
    let mut rest = source;
    let mut before = ' ';
    let mut words = Words::default();
    while let Some(first) = rest.chars().next() {
        let quoted = quoted_length(dialect, rest, before)
            .map_err(|what| Failure::invalid(format!("the statement has {what} that does not end")))?;
        let comment = comment_length(dialect, rest);
        if ended && comment == 0 && !first.is_whitespace() && first != ';' {
            return Err(Failure::invalid(
                "`statement` must be one statement; use a task for each",
            ));
        }
        let length = if quoted + comment > 0 {
            quoted + comment
        } else if first == ';' {
            ended = true;
            1
        } else if rest.starts_with("::") {
            2
        } else if let Some(name) = parameter(rest) {
            let value = bind.get(name).ok_or_else(|| {
                let known: Vec<&str> = bind.keys().map(String::as_str).collect();
                Failure::invalid(format!(
                    "the statement uses `:{name}`, and `bind` has only [{}]",
                    known.join(", ")
                ))
            })?;
            if dialect == Dialect::Postgres {
                let next = numbers.len() + 1;
                let number = *numbers.entry(name).or_insert(next);
                if number == next {
                    values.push(value.clone());
                }
                sql.push_str(&format!("${number}"));
            } else {
                values.push(value.clone());
                sql.push('?');
            }
            rest = &rest[1 + name.len()..];
            before = 'x';
            words.push(" ");
            continue;
        } else {
            first.len_utf8()
        };
        let (token, tail) = rest.split_at(length);
        sql.push_str(token);
        words.push(token);
        before = token.chars().next_back().unwrap_or(' ');
        rest = tail;
    }
    if sql.trim_matches([';', ' ', '\n', '\t', '\r']).is_empty() {
        return Err(Failure::invalid("`statement` is empty"));
    }
    Ok(Statement {
        sql,
        values,
        reads: words.read_only(),
    })
}

/// The name of a `:name` parameter at the start of `rest`.
fn parameter(rest: &str) -> Option<&str> {
    let name = rest.strip_prefix(':')?;
    let end = name
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(name.len());
    let name = &name[..end];
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        .then_some(name)
}

/// Length of a string or quoted name at the start of `rest`, 0 when there is none; an error when it is not closed.
fn quoted_length(dialect: Dialect, rest: &str, before: char) -> Result<usize, &'static str> {
    let word = before.is_ascii_alphanumeric() || before == '_';
    match rest.as_bytes() {
        [b'E' | b'e', b'\'', ..] if dialect == Dialect::Postgres && !word => closed(&rest[1..], '\'', true)
            .map(|length| length + 1)
            .ok_or("a string"),
        [b'\'', ..] => closed(rest, '\'', dialect == Dialect::MySql).ok_or("a string"),
        [b'"', ..] => closed(rest, '"', dialect == Dialect::MySql).ok_or("a quoted name"),
        [b'`', ..] if dialect != Dialect::Postgres => closed(rest, '`', false).ok_or("a quoted name"),
        [b'[', ..] if dialect == Dialect::Sqlite => rest.find(']').map(|at| at + 1).ok_or("a quoted name"),
        [b'$', ..] if dialect == Dialect::Postgres && !word => dollar_length(rest),
        _ => Ok(0),
    }
}

/// Length up to the closing quote; a doubled quote does not close, nor one after a backslash where that escapes.
fn closed(rest: &str, quote: char, backslash: bool) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if backslash && c == '\\' {
            chars.next();
        } else if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return Some(at + quote.len_utf8());
            }
        }
    }
    None
}

/// Length of a `$tag$ … $tag$` string; 0 when the dollar starts something else.
fn dollar_length(rest: &str) -> Result<usize, &'static str> {
    let Some(end) = rest[1..].find('$') else { return Ok(0) };
    let tag = &rest[1..=end];
    let valid = tag.chars().all(|c| c.is_alphanumeric() || c == '_') && !tag.starts_with(|c: char| c.is_ascii_digit());
    if !valid {
        return Ok(0);
    }
    let mark = &rest[..end + 2];
    let body = &rest[mark.len()..];
    body.find(mark)
        .map(|at| mark.len() + at + mark.len())
        .ok_or("a dollar-quoted string")
}

/// Length of a comment at the start of `rest`; 0 when there is none. An open block comment goes to the end: the server
/// says so better.
fn comment_length(dialect: Dialect, rest: &str) -> usize {
    let line = rest.starts_with("--") || (dialect == Dialect::MySql && rest.starts_with('#'));
    if line {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if !rest.starts_with("/*") {
        return 0;
    }
    let mut depth = 0_u32;
    let bytes = rest.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" if depth == 0 || dialect == Dialect::Postgres => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bind() -> IndexMap<String, Value> {
        [("a", json!(1)), ("b_2", json!("x"))]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v))
            .collect()
    }

    #[track_caller]
    fn check(dialect: Dialect, source: &str, sql: &str, count: usize) {
        let statement = translate(dialect, source, &bind()).expect(source);
        assert_eq!(statement.sql, sql);
        assert_eq!(statement.values.len(), count, "{sql}");
    }

    #[test]
    fn parameters_are_found_where_they_are_parameters() {
        use Dialect::{MySql, Postgres, Sqlite};
        check(Postgres, "select :a::int, :b_2, :a", "select $1::int, $2, $1", 2);
        check(Sqlite, "select :a, :b_2, :a", "select ?, ?, ?", 3);
        check(
            Postgres,
            "select ':a', \":a\", $$:a$$, $q$:a $$ $q$, E'\\':a', 'it''s :a'",
            "select ':a', \":a\", $$:a$$, $q$:a $$ $q$, E'\\':a', 'it''s :a'",
            0,
        );
        check(
            Postgres,
            "select 1 -- :a\n, /* :a /* :a */ :a */ :a",
            "select 1 -- :a\n, /* :a /* :a */ :a */ $1",
            1,
        );
        check(
            Postgres,
            "select x[1:2], y['k'] ?| array['a'], name':a'",
            "select x[1:2], y['k'] ?| array['a'], name':a'",
            0,
        );
        check(Postgres, "select type'\\', :a", "select type'\\', $1", 1);
        check(
            MySql,
            "select '\\':a', `:a`, @x := :a # :a",
            "select '\\':a', `:a`, @x := ? # :a",
            1,
        );
        check(Sqlite, "select [:a], '12:30', :a", "select [:a], '12:30', ?", 1);
        check(Sqlite, "select :a; -- done\n ;", "select ?; -- done\n ;", 1);
    }

    #[test]
    fn what_only_reads_is_told_from_what_may_write() {
        let reads = |source: &str| translate(Dialect::Postgres, source, &bind()).expect(source).reads;
        for source in [
            "select 1",
            "/* update */ SELECT 'insert into t', \"delete\", :a from updates",
            "with x as (select 1) select * from x",
            "(select 1) union (select 2)",
            "show all",
        ] {
            assert!(reads(source), "{source}");
        }
        for source in [
            "insert into t values (1) returning a",
            "with x as (delete from t returning a) select * from x",
            "select * into t2 from t",
            "explain analyze update t set a = 1",
            "call p()",
            "truncate t",
            "select nextval('s')",
        ] {
            assert!(!reads(source), "{source}");
        }
    }

    #[test]
    fn more_than_one_statement_and_unknown_names_are_refused() {
        for dialect in [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite] {
            let many = translate(dialect, "select 1; drop table t", &bind()).expect_err("two");
            assert!(many.message.contains("one statement") && many.non_retryable);
            assert!(translate(dialect, "select ';'", &bind()).is_ok());
            assert!(translate(dialect, "select 'open", &bind()).is_err());
            assert!(translate(dialect, " ; ", &bind()).is_err());
        }
        let unknown = translate(Dialect::Sqlite, "select :c", &bind()).expect_err("unknown");
        assert!(
            unknown.message.contains("`:c`") && unknown.message.contains("a, b_2"),
            "{}",
            unknown.message
        );
    }
}
