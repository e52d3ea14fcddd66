//! When something is due: cron expressions, intervals, calendars and single times, in a time zone, over the changes of its
//! clocks. Pure: no clock, no I/O, and the zones' rules come with the program, so that it gives the same answer on every
//! machine.
//!
//! A [`Spec`] is what people write. [`Plan::of`] checks it and makes of it what can be asked: the next fire time after a
//! moment, the one before, and what a reader should know of it ([`Plan::notes`]). Times are microseconds since 1970.

mod calendar;
mod cron;
mod error;
mod facts;
mod notes;
mod plan;
mod rule;
mod series;
mod spec;
mod zone;

pub use cron::{CronError, Field};
pub use error::SpecError;
pub use notes::Note;
pub use plan::{Exhausted, Fires, MAX_EXCLUDED, MAX_JITTER, MAX_SOURCES, MAX_TIMES, Plan};
pub use spec::{Calendar, DayMatch, DstPolicy, Interval, Range, Spec};
pub use zone::{UnknownZone, Zone};

/// Microseconds of a second.
pub const SECOND: i64 = 1_000_000;
