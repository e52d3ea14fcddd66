//! What is wrong with a cron expression, and where.

use std::fmt;

/// A field of a cron expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// 0 to 59, the first of six.
    Second,
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 1 to 12, or names.
    Month,
    /// 0 to 7, or names; Sunday is 0 and 7.
    DayOfWeek,
}

impl Field {
    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        }
    }

    /// The least and the greatest number.
    pub(crate) fn bounds(self) -> (u32, u32) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 7),
        }
    }

    /// The names of its numbers, from the least on.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &[
                "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
            ],
            Self::DayOfWeek => &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
            _ => &[],
        }
    }

    /// What may stand there.
    pub(crate) fn allowed(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => {
                "allowed are 0 to 59, *, ranges such as 0-30, steps such as */15, and lists of them"
            }
            Self::Hour => "allowed are 0 to 23, *, ranges such as 9-17, steps such as */2, and lists of them",
            Self::DayOfMonth => {
                "allowed are 1 to 31, *, ranges, steps, L for the last day, L-3 for three days before it, 15W for the \
                 weekday nearest to the 15th, LW for the last weekday, and lists of them"
            }
            Self::Month => "allowed are 1 to 12, JAN to DEC, *, ranges, steps, and lists of them",
            Self::DayOfWeek => {
                "allowed are 0 to 7 (Sunday is 0 and 7), SUN to SAT, *, ranges, steps, 5L for the last Friday, MON#2 for \
                 the second Monday, and lists of them"
            }
        }
    }
}

/// What is wrong with a cron expression, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronError {
    /// The expression, or its beginning.
    pub expression: String,
    /// The field, where one is at fault.
    pub field: Option<Field>,
    /// The character of the expression at which the fault is, from 1.
    pub position: usize,
    /// What is wrong.
    pub problem: String,
    /// What is allowed, and what may have been meant.
    pub help: String,
}

impl std::error::Error for CronError {}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cron expression {:?}, character {}", self.expression, self.position)?;
        if let Some(field) = self.field {
            write!(f, " ({})", field.name())?;
        }
        write!(f, ": {}", self.problem)?;
        match self.help.as_str() {
            "" => Ok(()),
            help => write!(f, "; {help}"),
        }
    }
}

impl CronError {
    pub(super) fn new(expression: &str, field: Option<Field>, position: usize, problem: &str, help: &str) -> Self {
        Self {
            expression: expression.chars().take(128).collect(),
            field,
            position,
            problem: problem.to_owned(),
            help: help.to_owned(),
        }
    }
}

/// `; did you mean X?` for the word that another begins with or is spelled most like, when one is near.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let word: String = word.chars().take(16).collect::<String>().to_ascii_uppercase();
    let distance = |name: &str| {
        let name = name.to_ascii_uppercase();
        match word.starts_with(&name) {
            true => 0,
            false => strsim::osa_distance(&word, &name),
        }
    };
    let best = known
        .map(|name| (distance(name), name))
        .min_by_key(|(distance, _)| *distance);
    match best {
        Some((distance, name)) if distance <= word.len().div_ceil(3) => format!("; did you mean {name}?"),
        _ => String::new(),
    }
}
