//! Finds the `:name` parameters of a SQL statement. Knows what must not be looked into: string literals, quoted names,
//! comments, dollar quotes and `::` casts.

/// A `:name` in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placeholder<'a> {
    /// The name, without the colon.
    pub name: &'a str,
    /// Where the colon stands, in bytes.
    pub start: usize,
    /// Where the name ends, in bytes.
    pub end: usize,
}

/// Every parameter, in the order of the statement; one that is used twice is there twice.
#[must_use]
pub fn placeholders(statement: &str) -> Vec<Placeholder<'_>> {
    let bytes = statement.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &statement[at..];
        let skipped = match bytes[at] {
            b'\'' | b'"' | b'`' => quoted(rest),
            b'-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => comment(rest),
            b'$' if at == 0 || !is_name(bytes[at - 1]) => dollar_quoted(rest),
            b':' if rest.starts_with("::") || rest.starts_with(":=") => 2,
            b':' if at > 0 && is_name(bytes[at - 1]) => 1,
            b':' => {
                let length = rest.as_bytes()[1..].iter().take_while(|byte| is_name(**byte)).count();
                let name = &rest[1..=length];
                if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                    let end = at + 1 + length;
                    found.push(Placeholder { name, start: at, end });
                }
                1 + length
            }
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        at += skipped;
    }
    found
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Length of a quoted text; a doubled quote inside belongs to it, which reads as two texts side by side.
fn quoted(rest: &str) -> usize {
    let mark = &rest[..1];
    rest[1..].find(mark).map_or(rest.len(), |end| end + 2)
}

/// Length of a block comment; such comments nest in Postgres.
fn comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Length of `$tag$ … $tag$`; 1 when the dollar opens no quote.
fn dollar_quoted(rest: &str) -> usize {
    let tag = rest.as_bytes()[1..].iter().take_while(|byte| is_name(**byte)).count();
    let opening = 2 + tag;
    let starts_with_digit = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if rest.as_bytes().get(1 + tag) != Some(&b'$') || starts_with_digit {
        return 1;
    }
    let mark = &rest[..opening];
    rest[opening..].find(mark).map_or(rest.len(), |end| end + 2 * opening)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(statement: &str) -> Vec<&str> {
        placeholders(statement).into_iter().map(|p| p.name).collect()
    }

    #[test]
    fn parameters_are_found_and_nothing_else_is() {
        assert_eq!(names("select :a, :b_2 from t where x = :a"), ["a", "b_2", "a"]);
        assert_eq!(
            names("select x::int, :v::text, '10:30', ':no', 'it''s :no', \":no\", `:no`"),
            ["v"]
        );
        assert_eq!(names("-- :no\nselect /* :no /* :no */ :no */ :yes"), ["yes"]);
        assert_eq!(names("select $$ :no $$, $tag$ :no $$ $tag$, $1, :yes"), ["yes"]);
        assert_eq!(names("select a[1:n], x := 3, :1, time '10:00'"), Vec::<&str>::new());
        assert_eq!(names("insert into t values(:a,:b)"), ["a", "b"]);
        assert_eq!(names("select 'open :no"), Vec::<&str>::new());
        assert_eq!(names("select 'ä', :ä, :ok"), ["ok"]);
        let statement = "where day = :day";
        let found = placeholders(statement)[0];
        assert_eq!(&statement[found.start..found.end], ":day");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(statement in "[a-z:'\"$/*\\-ä \n]{0,40}") {
            for found in placeholders(&statement) {
                prop_assert_eq!(&statement[found.start + 1..found.end], found.name);
            }
        }
    }
}
