//! Path templates as `google.api.http` writes them: literals, `*`, `**`, variables with a field path, and a custom verb.
//! `/api/v1/{name=shelves/*/books/**}:archive`. Pure.

use std::cmp::Ordering;

use percent_encoding::percent_decode_str;

/// A template that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
    variables: Vec<Variable>,
    verb: Option<String>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// Exactly one segment.
    One,
    /// All that is left, nothing included.
    Rest,
}

/// A field that takes what some segments hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    field: String,
    from: usize,
    /// After the last of its segments.
    to: usize,
}

/// A template that cannot be read; a mistake in a contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path template {template:?} cannot be read: {problem}")]
pub struct TemplateError {
    template: String,
    problem: &'static str,
}

/// What a path holds for a template: field paths and their texts, decoded.
pub type Bindings = Vec<(String, String)>;

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let fail = |problem| TemplateError {
            template: text.to_owned(),
            problem,
        };
        let path = text.strip_prefix('/').ok_or_else(|| fail("it does not begin with /"))?;
        let (path, verb) = split_verb(path);
        let mut template = Self {
            segments: Vec::new(),
            variables: Vec::new(),
            verb: verb.map(str::to_owned),
            text: text.to_owned(),
        };
        let mut rest = path;
        while !rest.is_empty() {
            rest = template.take(rest).map_err(fail)?;
        }
        let last = template.segments.len().saturating_sub(1);
        let early = |(at, segment): (usize, &Segment)| *segment == Segment::Rest && at != last;
        match template.segments.iter().enumerate().any(early) {
            true => Err(fail("** stands before the end")),
            false => Ok(template),
        }
    }

    /// Takes the next segment, or a variable with its segments.
    fn take<'a>(&mut self, text: &'a str) -> Result<&'a str, &'static str> {
        let rest = match text.strip_prefix('{') {
            None => {
                let (segment, rest) = text.split_at(text.find('/').unwrap_or(text.len()));
                self.segments.push(Segment::read(segment)?);
                rest
            }
            Some(inside) => {
                let (variable, rest) = inside.split_once('}').ok_or("a { is not closed")?;
                let (field, pattern) = variable.split_once('=').unwrap_or((variable, "*"));
                if field.is_empty() {
                    return Err("a variable has no name");
                }
                let from = self.segments.len();
                for segment in pattern.split('/') {
                    self.segments.push(Segment::read(segment)?);
                }
                self.variables.push(Variable {
                    field: field.to_owned(),
                    from,
                    to: self.segments.len(),
                });
                rest
            }
        };
        match rest.strip_prefix('/') {
            Some("") => Err("it ends with /"),
            Some(rest) => Ok(rest),
            None if rest.is_empty() => Ok(rest),
            None => Err("something stands behind a variable"),
        }
    }

    /// As the contract writes it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names of its variables, as field paths.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|variable| variable.field.as_str())
    }

    /// The path with each variable written as `{name}`, as OpenAPI wants it.
    #[must_use]
    pub fn open_api(&self) -> String {
        let mut path = String::new();
        let mut at = 0;
        while at < self.segments.len() {
            path.push('/');
            if let Some(variable) = self.variables.iter().find(|variable| variable.from == at) {
                path.push_str(&format!("{{{}}}", variable.field));
                at = variable.to;
                continue;
            }
            path.push_str(match &self.segments[at] {
                Segment::Literal(text) => text,
                Segment::One => "*",
                Segment::Rest => "**",
            });
            at += 1;
        }
        if let Some(verb) = &self.verb {
            path.push(':');
            path.push_str(verb);
        }
        path
    }

    /// What a path holds, when it is one of this template: the path without its query, still encoded.
    #[must_use]
    pub fn matches(&self, path: &str) -> Option<Bindings> {
        let path = path.strip_prefix('/')?;
        let path = match &self.verb {
            Some(verb) => path.strip_suffix(verb.as_str())?.strip_suffix(':')?,
            None => path,
        };
        let parts: Vec<&str> = path.split('/').collect();
        let open = self.segments.last() == Some(&Segment::Rest);
        let fits = if open {
            parts.len() + 1 >= self.segments.len()
        } else {
            parts.len() == self.segments.len()
        };
        if !fits
            || !self
                .segments
                .iter()
                .zip(&parts)
                .all(|(segment, part)| segment.matches(part))
        {
            return None;
        }
        let bind = |variable: &Variable| {
            let open = open && variable.to == self.segments.len();
            let to = if open { parts.len() } else { variable.to };
            let parts = parts.get(variable.from..to).unwrap_or_default();
            let text = match parts {
                [one] if !open => percent_decode_str(one).decode_utf8().ok()?.into_owned(),
                // A slash that is part of a name stays encoded, or it could not be told from one between names.
                several => several
                    .iter()
                    .map(|part| keep_slashes(part))
                    .collect::<Option<Vec<_>>>()?
                    .join("/"),
            };
            Some((variable.field.clone(), text))
        };
        self.variables.iter().map(bind).collect()
    }

    /// Which of two templates is asked first: the one that says more.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let ranks = |template: &Self| template.segments.iter().map(Segment::rank).collect::<Vec<_>>();
        let verbs = other.verb.is_some().cmp(&self.verb.is_some());
        verbs.then_with(|| ranks(self).cmp(&ranks(other)))
    }
}

impl Segment {
    fn read(text: &str) -> Result<Self, &'static str> {
        match text {
            "" => Err("a segment is empty"),
            "*" => Ok(Self::One),
            "**" => Ok(Self::Rest),
            text if text.contains(['{', '}', '*', '=']) => Err("a segment holds what only variables may"),
            text => Ok(Self::Literal(text.to_owned())),
        }
    }

    fn matches(&self, part: &str) -> bool {
        match self {
            // Literals of the house need no encoding, and a caller may encode what it likes.
            Self::Literal(text) => percent_decode_str(part).eq(text.bytes()),
            Self::One => !part.is_empty(),
            Self::Rest => true,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::One => 1,
            Self::Rest => 2,
        }
    }
}

/// The verb of a template: behind the last colon outside of variables.
fn split_verb(path: &str) -> (&str, Option<&str>) {
    match path.rfind(':') {
        Some(at) if !path[at..].contains(['}', '/']) => (&path[..at], Some(&path[at + 1..])),
        _ => (path, None),
    }
}

fn keep_slashes(part: &str) -> Option<String> {
    let decoded: Vec<String> = part
        .split_inclusive("%2F")
        .flat_map(|piece| piece.split_inclusive("%2f"))
        .map(|piece| {
            let (text, slash) = match piece.len().checked_sub(3) {
                Some(at) if piece[at..].eq_ignore_ascii_case("%2f") => piece.split_at(at),
                _ => (piece, ""),
            };
            Some(format!("{}{slash}", percent_decode_str(text).decode_utf8().ok()?))
        })
        .collect::<Option<_>>()?;
    Some(decoded.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(template: &str, path: &str) -> Option<Vec<(String, String)>> {
        Template::parse(template).expect(template).matches(path)
    }

    fn bound(pairs: &[(&str, &str)]) -> Option<Bindings> {
        Some(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect())
    }

    #[test]
    fn variables_take_what_their_segments_hold() {
        for (template, path, expected) in [
            ("/v1/a", "/v1/a", bound(&[])),
            ("/v1/a", "/v1/b", None),
            ("/v1/a", "/v1/%61", bound(&[])),
            ("/v1/{x}", "/v1/7", bound(&[("x", "7")])),
            ("/v1/{x}", "/v1/", None),
            ("/v1/{x}", "/v1/7/8", None),
            ("/v1/{x}", "/v1/a%20b%2Fc", bound(&[("x", "a b/c")])),
            ("/v1/{x}", "/v1/a:b", bound(&[("x", "a:b")])),
            ("/v1/{x}", "/v1/%ff", None),
            ("/v1/{x}:stop", "/v1/7:stop", bound(&[("x", "7")])),
            ("/v1/{x}:stop", "/v1/7", None),
            ("/v1/{x}:stop", "/v1/:stop", None),
            (
                "/v1/{a.b=s/*}/t/{c}",
                "/v1/s/1/t/2",
                bound(&[("a.b", "s/1"), ("c", "2")]),
            ),
            ("/v1/{a.b=s/*}", "/v1/t/1", None),
            ("/v1/{r=**}", "/v1/a/b%2Fc%20d", bound(&[("r", "a/b%2Fc d")])),
            ("/v1/{r=**}", "/v1", bound(&[("r", "")])),
            ("/v1/{r=k/**}:go", "/v1/k/a/b:go", bound(&[("r", "k/a/b")])),
            ("/v1/*/x", "/v1/any/x", bound(&[])),
        ] {
            assert_eq!(matched(template, path), expected, "{template} and {path}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for wrong in [
            "", "v1", "/v1/", "/v1//a", "/v1/{x", "/v1/{}", "/v1/{x}y", "/v1/**/a", "/v1/a*",
        ] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_one_that_says_more_is_asked_first() {
        let order = |a: &str, b: &str| {
            let (a, b) = (Template::parse(a).expect(a), Template::parse(b).expect(b));
            a.order(&b)
        };
        assert_eq!(order("/w/apply", "/w/{x}"), Ordering::Less);
        assert_eq!(order("/w/{x}", "/w/{x=**}"), Ordering::Less);
        assert_eq!(order("/w/{x}", "/w/{x}:stop"), Ordering::Greater);
        // A sort needs an order that is one: of different lengths too.
        assert_eq!(order("/w", "/w/{x}"), Ordering::Less);
        assert_eq!(order("/w", "/w/a"), Ordering::Less);
    }

    #[test]
    fn open_api_sees_names_only() {
        let path = |text: &str| Template::parse(text).expect(text).open_api();
        assert_eq!(path("/v1/{name=a/*/b/*}/c/{d}:go"), "/v1/{name}/c/{d}:go");
    }
}
