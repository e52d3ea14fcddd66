//! The one minijinja environment: what the language knows, and how an expression is compiled and evaluated in it.

use std::sync::LazyLock;

use minijinja::value::{Rest, Value};
use minijinja::{Environment, Error, ErrorKind, Expression, UndefinedBehavior};

use super::error::ExprError;
use super::references::{self, References};
use super::words::{FILTERS, TESTS, suggest};
use super::{FUEL, MAX_SOURCE};

/// The environment is never changed after it is made, so every compiled expression can borrow from it for good.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(64);
    // Lets an error name the path that is undefined; costs nothing when nothing is wrong.
    environment.set_debug(true);
    environment.remove_global("debug");
    environment.remove_global("namespace");
    // Nothing here is HTML; these would mark strings as safe for it and do nothing else.
    for filter in ["safe", "escape", "e"] {
        environment.remove_filter(filter);
    }
    environment.add_filter("default", default_filter);
    environment.add_filter("d", default_filter);
    environment
});

/// `value | default(other)`: `other` when the value is undefined or null (the output of a task that was skipped is
/// null); with a true second argument also when it is empty, zero or false.
fn default_filter(value: &Value, args: Rest<Value>) -> Result<Value, Error> {
    if args.len() > 2 {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let falsy_too = args.get(1).is_some_and(Value::is_true);
    if value.is_undefined() || value.is_none() || (falsy_too && !value.is_true()) {
        Ok(args.first().cloned().unwrap_or_else(|| Value::from("")))
    } else {
        Ok(value.clone())
    }
}

/// A compiled expression with the dotted paths that it reads.
pub(super) struct Compiled {
    expression: Expression<'static, 'static>,
    pub(super) source: String,
    pub(super) paths: Vec<Vec<String>>,
}

impl Compiled {
    /// Compiles an expression and finds what it refers to.
    pub(super) fn new(source: &str) -> Result<(Self, References), ExprError> {
        if source.len() > MAX_SOURCE {
            return Err(ExprError::new(format!(
                "the expression is {} bytes long; at most {MAX_SOURCE} are read",
                source.len()
            ))
            .fix("compute it in a task and refer to the task's output"));
        }
        let expression = ENVIRONMENT
            .compile_expression_owned(source.to_owned())
            .map_err(|error| syntax_error(source, &error))?;
        check_names(source)?;
        let mut paths: Vec<Vec<String>> = expression
            .undeclared_variables(true)
            .into_iter()
            .map(|path| path.split('.').map(str::to_owned).collect())
            .collect();
        paths.sort();
        let references = references::collect(&paths).map_err(|error| match error.offset {
            Some(_) => error,
            None => error.at(0),
        })?;
        Ok((
            Self {
                expression,
                source: source.to_owned(),
                paths,
            },
            references,
        ))
    }

    /// Evaluates the expression; the result may be undefined.
    pub(super) fn eval(&self, context: &Value) -> Result<Value, Error> {
        self.expression.eval(context.clone())
    }
}

fn syntax_error(source: &str, error: &Error) -> ExprError {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let shown = abbreviate(source);
    let place = error.range().map_or(0, |range| {
        let end = (0..=range.start.min(source.len()))
            .rev()
            .find(|at| source.is_char_boundary(*at))
            .unwrap_or_default();
        source[..end].chars().count()
    });
    ExprError::new(format!("the expression `{shown}` cannot be read: {detail}")).at(place)
}

/// An expression as an error shows it.
pub(super) fn abbreviate(source: &str) -> String {
    const LONGEST: usize = 80;
    if source.chars().count() <= LONGEST {
        return source.to_owned();
    }
    let mut shown: String = source.chars().take(LONGEST).collect();
    shown.push('…');
    shown
}

/// Checks the names of filters and tests, which minijinja itself looks up only when it evaluates.
fn check_names(source: &str) -> Result<(), ExprError> {
    let tokens = tokens(source);
    for (i, token) in tokens.iter().enumerate() {
        let (known, kind, named) = match token.text {
            "|" => (FILTERS, "filter", tokens.get(i + 1)),
            "is" if i > 0 && tokens[i - 1].text != "." && tokens[i - 1].text != "|" => {
                let negated = tokens.get(i + 1).is_some_and(|next| next.text == "not");
                (TESTS, "test", tokens.get(i + 1 + usize::from(negated)))
            }
            _ => continue,
        };
        let Some(named) = named.filter(|token| token.is_name()) else {
            continue;
        };
        if !known.contains(&named.text) {
            let error = ExprError::new(format!("unknown {kind} {:?}", named.text)).at(named.offset);
            return Err(match suggest(named.text, known) {
                Some(near) => error.fix(format!("did you mean {near:?}?")),
                None => error.fix(format!("the {kind}s are {}", known.join(", "))),
            });
        }
    }
    Ok(())
}

/// A name or a sign of an expression; the inside of string literals is left out.
struct Token<'a> {
    text: &'a str,
    offset: usize,
}

impl Token<'_> {
    fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut chars = source.char_indices().enumerate().peekable();
    while let Some((offset, (start, c))) = chars.next() {
        if c == '\'' || c == '"' {
            while let Some((_, (_, inner))) = chars.next() {
                if inner == '\\' {
                    chars.next();
                } else if inner == c {
                    break;
                }
            }
        } else if c.is_alphanumeric() || c == '_' {
            let mut end = start + c.len_utf8();
            while let Some((_, (at, inner))) = chars.peek().copied() {
                if !(inner.is_alphanumeric() || inner == '_') {
                    break;
                }
                end = at + inner.len_utf8();
                chars.next();
            }
            let text = &source[start..end];
            tokens.push(Token { text, offset });
        } else if !c.is_whitespace() {
            let text = &source[start..start + c.len_utf8()];
            tokens.push(Token { text, offset });
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::FUNCTIONS;

    #[test]
    fn every_listed_filter_test_and_function_exists() {
        for name in FILTERS {
            let probe = ENVIRONMENT
                .compile_expression_owned(format!("'{name}' is filter"))
                .unwrap();
            assert!(probe.eval(()).unwrap().is_true(), "filter {name}");
        }
        for name in TESTS {
            let probe = ENVIRONMENT
                .compile_expression_owned(format!("'{name}' is test"))
                .unwrap();
            assert!(probe.eval(()).unwrap().is_true(), "test {name}");
        }
        for name in FUNCTIONS {
            assert!(
                ENVIRONMENT.globals().any(|(known, _)| known == *name),
                "function {name}"
            );
        }
        assert_eq!(
            ENVIRONMENT.globals().count(),
            FUNCTIONS.len(),
            "no function is there unlisted"
        );
    }

    #[test]
    fn nothing_random_or_timed_is_known() {
        for name in ["random", "now", "uuid", "shuffle", "lipsum"] {
            assert!(!FILTERS.contains(&name));
            let probe = ENVIRONMENT
                .compile_expression_owned(format!("'{name}' is filter"))
                .unwrap();
            assert!(!probe.eval(()).unwrap().is_true(), "filter {name}");
        }
    }
}
