//! Texts for people and conditions over facts that are no execution's scope, as messages need them: templates over a JSON
//! object, whose insertions are escaped for where the text goes. The template itself is written by whoever may say what is
//! sent; what it inserts is not.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use minijinja::value::{Serde, Value as JinjaValue};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Expression, Output, State, UndefinedBehavior};
use serde_json::Value;

use super::MAX_SOURCE;
use super::error::ExprError;
use super::words::FILTERS;

/// How much work one text may be.
const FUEL: u64 = 50_000;
/// Bytes of a rendered text at most: what is longer is cut.
pub const MAX_TEXT: usize = 64 << 10;
/// Bytes of a template at most.
pub const MAX_TEMPLATE: usize = 16 << 10;

/// What the conditions of notifications can see.
pub const NOTICE: &[&str] = &["event", "execution", "workflow", "task", "error"];

/// Where a text goes, and so how what is inserted into it is escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// Nothing has a meaning: mail's text part, a JSON string.
    Plain,
    /// One line, such as a subject: line breaks and other control characters become blanks.
    Line,
    /// HTML, in texts and in quoted attributes.
    Html,
    /// Slack's mrkdwn.
    Slack,
    /// Markdown, as Teams and Discord read it.
    Markdown,
}

impl Medium {
    /// A text as it can stand there without meaning anything.
    #[must_use]
    pub fn escape(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match (self, c) {
                // What turns the direction of writing around can make a text look like another one.
                (_, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {}
                (Self::Line, c) if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => out.push(' '),
                (_, c) if c.is_control() && !matches!(c, '\n' | '\t') => {}
                (Self::Html, '<') | (Self::Slack, '<') => out.push_str("&lt;"),
                (Self::Html, '>') | (Self::Slack, '>') => out.push_str("&gt;"),
                (Self::Html, '&') | (Self::Slack, '&') => out.push_str("&amp;"),
                (Self::Html, '"') => out.push_str("&quot;"),
                (Self::Html, '\'') => out.push_str("&#39;"),
                // Slack has no escapes for these; a blank of no width keeps them from being pairs, and `@` from calling.
                (Self::Slack, '*' | '_' | '~' | '`' | '@') => {
                    out.push(c);
                    out.push('\u{200b}');
                }
                (Self::Markdown, '@') => out.push_str("@\u{200b}"),
                (Self::Markdown, '\\' | '*' | '_' | '~' | '`' | '[' | ']' | '<' | '>' | '#' | '|') => {
                    out.push('\\');
                    out.push(c);
                }
                (_, c) => out.push(c),
            }
        }
        out
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Line => "line",
            Self::Html => "html",
            Self::Slack => "slack",
            Self::Markdown => "markdown",
        }
    }

    fn of(name: &str) -> Self {
        let all = [Self::Line, Self::Html, Self::Slack, Self::Markdown];
        all.into_iter()
            .find(|medium| medium.name() == name)
            .unwrap_or(Self::Plain)
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(32);
    environment.remove_global("debug");
    environment.remove_global("namespace");
    // A text that is marked as safe would pass the escapes by.
    for filter in ["safe", "escape", "e", "tojson", "urlencode"] {
        environment.remove_filter(filter);
    }
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(format);
    environment
}

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

/// Writes an inserted value, escaped for the medium that the template is named after.
fn format(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &JinjaValue) -> Result<(), Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(());
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let escaped = Medium::of(state.name()).escape(&text);
    out.write_str(&escaped)
        .map_err(|_| Error::from(ErrorKind::WriteFailure))
}

/// A template of a text. Clones share it.
#[derive(Debug, Clone)]
pub struct Text(Arc<str>);

impl Text {
    /// Reads a template over some names.
    ///
    /// # Errors
    /// When it is too long, cannot be read, or names something that there is not.
    pub fn compile(source: &str, roots: &[&str]) -> Result<Self, ExprError> {
        if source.len() > MAX_TEMPLATE {
            let message = format!(
                "the template has {} bytes; at most {MAX_TEMPLATE} are read",
                source.len()
            );
            return Err(ExprError::new(message));
        }
        let template = ENVIRONMENT
            .template_from_str(source)
            .map_err(|error| unreadable(&error))?;
        known(template.undeclared_variables(false).into_iter(), roots)?;
        Ok(Self(source.into()))
    }

    /// The text for a medium.
    ///
    /// # Errors
    /// When it fails or runs out of its budget.
    pub fn render(&self, facts: &Value, medium: Medium) -> Result<String, ExprError> {
        let context = JinjaValue::from(Serde(facts));
        let rendered = ENVIRONMENT.render_named_str(medium.name(), &self.0, context);
        let mut text = rendered.map_err(|error| unreadable(&error))?;
        if text.len() > MAX_TEXT {
            let end = (0..=MAX_TEXT)
                .rev()
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or_default();
            text.truncate(end);
            text.push('…');
        }
        Ok(match medium {
            // Line breaks of the template itself too.
            Medium::Line => text.split_whitespace().collect::<Vec<_>>().join(" "),
            _ => text,
        })
    }
}

/// A bare expression over facts that is true or false. Clones share it.
#[derive(Clone)]
pub struct Test(Arc<Expression<'static, 'static>>);

impl std::fmt::Debug for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Test")
    }
}

impl Test {
    /// Reads an expression over some names.
    ///
    /// # Errors
    /// When it is empty, too long, cannot be read, or names something that there is not.
    pub fn compile(source: &str, roots: &[&str]) -> Result<Self, ExprError> {
        let source = source.trim();
        if source.is_empty() || source.len() > MAX_SOURCE {
            let message = format!(
                "the expression has {} bytes; from 1 to {MAX_SOURCE} are read",
                source.len()
            );
            return Err(ExprError::new(message));
        }
        if source.starts_with("{{") {
            return Err(ExprError::new("a condition is a bare expression, without braces"));
        }
        let expression = ENVIRONMENT
            .compile_expression_owned(source.to_owned())
            .map_err(|error| unreadable(&error))?;
        known(expression.undeclared_variables(false).into_iter(), roots)?;
        Ok(Self(Arc::new(expression)))
    }

    /// Whether it is true of some facts. What is not there is false.
    ///
    /// # Errors
    /// When it fails or runs out of its budget.
    pub fn holds(&self, facts: &Value) -> Result<bool, ExprError> {
        let value = self.0.eval(JinjaValue::from(Serde(facts)));
        Ok(value.map_err(|error| unreadable(&error))?.is_true())
    }
}

fn unreadable(error: &Error) -> ExprError {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let unknown = error.kind() == ErrorKind::UnknownFilter;
    let told = ExprError::new(format!("it cannot be evaluated: {detail}"));
    match unknown {
        true => told.fix(format!("the filters are {}", FILTERS.join(", "))),
        false => told,
    }
}

fn known(names: impl Iterator<Item = String>, roots: &[&str]) -> Result<(), ExprError> {
    let functions: BTreeSet<String> = ENVIRONMENT.globals().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        if name == "secrets" {
            let message = "a secret cannot be shown in a message, and nothing can be computed from it";
            return Err(ExprError::new(message));
        }
        if !roots.contains(&name.as_str()) && !functions.contains(&name) {
            let message = format!("unknown name {name:?}; it knows {}", roots.join(", "));
            return Err(ExprError::new(message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(source: &str, medium: Medium, value: &str) -> String {
        let text = Text::compile(source, &["error"]).expect("a template");
        text.render(&json!({"error": {"message": value}}), medium)
            .expect("a text")
    }

    #[test]
    fn what_is_inserted_means_nothing_where_it_goes() {
        let source = "<b>{{ error.message }}</b>";
        let evil = "<script>alert('x')</script>\r\nBcc: a@b \"&*_`@here";
        assert_eq!(
            render(source, Medium::Html, evil),
            "<b>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;\nBcc: a@b &quot;&amp;*_`@here</b>"
        );
        let line = render("failed: {{ error.message }}", Medium::Line, evil);
        assert!(!line.contains(['\r', '\n']) && line.contains("Bcc: a@b"), "{line}");
        let slack = render("{{ error.message }}", Medium::Slack, "<!channel> <http://e|x> & *b*");
        assert!(
            !slack.contains('<') && slack.contains("&lt;!channel&gt;") && !slack.contains("*b*"),
            "{slack}"
        );
        let markdown = render("{{ error.message }}", Medium::Markdown, "[x](http://e) @everyone `a`");
        assert!(
            markdown.contains("\\[x\\]") && !markdown.contains("@everyone"),
            "{markdown}"
        );
    }

    #[test]
    fn nothing_marks_a_text_as_safe_and_what_is_not_there_is_empty() {
        assert!(
            Text::compile("{{ error.message | safe }}", &["error"]).is_ok_and(|text| {
                let facts = json!({"error": {"message": "<"}});
                text.render(&facts, Medium::Html).is_err()
            })
        );
        assert_eq!(render("[{{ error.nothing.at.all }}]", Medium::Plain, ""), "[]");
        assert!(Text::compile("{{ secrets.a }}", &["error"]).is_err());
        assert!(
            Text::compile("{{ nobody }}", &["error"])
                .expect_err("unknown")
                .to_string()
                .contains("error")
        );
    }

    #[test]
    fn work_and_size_are_bounded() {
        let loops = "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}";
        let text = Text::compile(loops, &[]).expect("a template");
        assert!(text.render(&json!({}), Medium::Plain).is_err());
        assert!(Text::compile(&"x".repeat(MAX_TEMPLATE + 1), &[]).is_err());
        let long = render("{{ error.message }}", Medium::Plain, &"x".repeat(MAX_TEXT + 10));
        assert!(long.len() <= MAX_TEXT + 4);
    }

    #[test]
    fn a_condition_is_judged_over_facts() {
        let test = Test::compile("error.type == 'Timeout' and labels.team", &["error", "labels"]).expect("a condition");
        assert!(
            test.holds(&json!({"error": {"type": "Timeout"}, "labels": {"team": "a"}}))
                .expect("judged")
        );
        assert!(
            !test
                .holds(&json!({"error": {"type": "Timeout"}, "labels": {}}))
                .expect("judged")
        );
        assert!(Test::compile("{{ error }}", &["error"]).is_err() && Test::compile("a ==", &["a"]).is_err());
    }
}
