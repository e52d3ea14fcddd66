//! What a key of the configuration is.

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Text that is never shown.
    Secret,
    Flag,
    Count,
    /// A length of time.
    Span,
    /// Texts; separated by commas in the environment and in flags.
    List,
    /// Texts by name; `name=value,…` in the environment and in flags.
    Map,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Secret => "secret",
            Self::Flag => "true or false",
            Self::Count => "number",
            Self::Span => "span",
            Self::List => "list",
            Self::Map => "map",
        }
    }
}

/// A key that can be set.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The least and the most that a count may be, and a span in milliseconds.
    pub(crate) bounds: (u64, u64),
    pub(crate) meaning: &'static str,
}

impl Key {
    /// A number or span between bounds.
    pub(super) const fn from(mut self, least: u64, most: u64) -> Self {
        self.bounds = (least, most);
        self
    }

    /// A number of this key as people write it.
    pub(crate) fn written(&self, number: u64) -> String {
        match self.kind {
            Kind::Span => {
                let micros = i64::try_from(number).unwrap_or(i64::MAX).saturating_mul(1_000);
                nexus_spec::Span::from_micros(micros).to_string()
            }
            _ => number.to_string(),
        }
    }

    /// The bounds in words; none for what is no number.
    pub(crate) fn range(&self) -> Option<String> {
        let (least, most) = self.bounds;
        let bounded = matches!(self.kind, Kind::Count | Kind::Span);
        bounded.then(|| format!("{} to {}", self.written(least), self.written(most)))
    }
}

pub(super) const fn key(name: &'static str, kind: Kind, meaning: &'static str) -> Key {
    Key {
        name,
        kind,
        // Ten years, the longest span anywhere; counts say their own.
        bounds: (0, 10 * 365 * DAY),
        meaning,
    }
}

pub(super) const MINUTE: u64 = 60_000;
pub(super) const DAY: u64 = 24 * 60 * MINUTE;
