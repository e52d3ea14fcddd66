//! What people write: the form in which a schedule is stored and sent.

use serde::{Deserialize, Serialize};

/// When something is due: at every time of any of its parts that no exclusion takes away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// Cron expressions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub crons: Vec<String>,
    /// Every so often, in real time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub intervals: Vec<Interval>,
    /// Calendars.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calendars: Vec<Calendar>,
    /// Single times, as RFC 3339 writes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<String>,
    /// Cron expressions of times that are left out. One of five fields takes whole minutes away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_crons: Vec<String>,
    /// Calendars of times that are left out. What is not said of the time of day means all of it: a date takes the whole
    /// day away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_calendars: Vec<Calendar>,
    /// Nothing is due before, in microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<i64>,
    /// Nothing is due after, in microseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
    /// Each fire is delayed by chance, by less than this, in microseconds, and never beyond the next one.
    #[serde(skip_serializing_if = "is_zero")]
    pub jitter: i64,
    /// The zone that crons and calendars are read in, by its IANA name; `UTC` when empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub timezone: String,
    /// What becomes of local times that a change of the clocks skips or repeats.
    #[serde(skip_serializing_if = "DstPolicy::is_default")]
    pub dst_policy: DstPolicy,
    /// How a cron expression means day of month and day of week, when both say something.
    #[serde(skip_serializing_if = "DayMatch::is_default")]
    pub day_match: DayMatch,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Every so often, counted from 1970 in real time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// How often, in microseconds; whole seconds.
    pub every: i64,
    /// How long after each whole multiple, in microseconds; less than `every`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub phase: i64,
}

/// What becomes of local times that a change of the clocks skips or repeats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DstPolicy {
    /// What names its hours fires once: a skipped time at the next instant that exists, a repeated one the first time. What
    /// runs through the hours goes on in real time.
    #[default]
    Adjust,
    /// A skipped time does not fire, a repeated one fires twice.
    Literal,
}

impl DstPolicy {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How a cron expression means day of month and day of week, when both say something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DayMatch {
    /// Days that either names, as crontab has it; both when one of the fields begins with `*`.
    #[default]
    Or,
    /// Days that both name.
    And,
}

impl DayMatch {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Times that satisfy every field. An empty field is the default that it names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calendar {
    /// 0 to 59; 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub second: Vec<Range>,
    /// 0 to 59; 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub minute: Vec<Range>,
    /// 0 to 23; 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hour: Vec<Range>,
    /// 1 to 31; all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub day_of_month: Vec<Range>,
    /// 1 to 12; all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub month: Vec<Range>,
    /// 1970 to 8999; all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub year: Vec<Range>,
    /// 0 to 7, Sunday is 0 and 7; all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub day_of_week: Vec<Range>,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// Numbers from `start` to `end`, every `step`th of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Range {
    /// The first.
    pub start: u32,
    /// The last; only the first when it is smaller.
    #[serde(skip_serializing_if = "is_none")]
    pub end: u32,
    /// 1 when 0.
    #[serde(skip_serializing_if = "is_none")]
    pub step: u32,
}

fn is_none(number: &u32) -> bool {
    *number == 0
}
