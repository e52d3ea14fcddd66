//! Spans of time as the file writes them: `90s`, `10m`, `1h30m`, `PT90S`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A span of time in whole microseconds, written in the file as `90s`, `1h30m` or ISO 8601 `PT90S`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(i64);

impl Span {
    /// A span of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds * 1_000_000)
    }

    /// A span of microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The span in microseconds.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }
}
