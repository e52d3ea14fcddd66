//! Why a specification cannot be used.

use crate::cron::CronError;
use crate::zone::UnknownZone;

/// Why a specification cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A cron expression cannot be read.
    #[error("{0}")]
    Cron(#[from] CronError),
    /// A time zone is none.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
    /// Nothing says when.
    #[error("nothing says when: give a cron expression, an interval, a calendar or a time")]
    Empty,
    /// There is no such day, in no year.
    #[error("{what} never fires: no year has such a day{hint}")]
    Never {
        /// Which part.
        what: String,
        /// Why, as far as it is plain.
        hint: String,
    },
    /// A number or text is out of bounds.
    #[error("{field} {problem}")]
    Field {
        /// Which part.
        field: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
}

impl SpecError {
    pub(crate) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field {
            field: field.into(),
            problem: problem.into(),
        }
    }
}
