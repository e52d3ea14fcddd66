//! When a workflow starts by itself, as its file says it.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::Span;

/// When executions of the workflow start by themselves. At least one of `cron`, `every` and `at` says when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// One or two sentences for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Cron expressions: one, or a list; five fields, or six with the seconds first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "one_or_many")]
    pub cron: Vec<String>,
    /// Every so often, in real time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// Single times: one, or a list, as RFC 3339 writes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "one_or_many")]
    pub at: Vec<String>,
    /// Cron expressions of times that are left out: one, or a list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "one_or_many")]
    pub exclude: Vec<String>,
    /// The IANA zone that expressions are read in; UTC when not said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub timezone: String,
    /// What becomes of local times that a change of the clocks skips or repeats: `adjust` or `literal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst_policy: Option<DstPolicy>,
    /// Whether days must match the day of month or the day of week (`or`), or both (`and`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day_match: Option<DayMatch>,
    /// Nothing fires before this time.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub start: String,
    /// Nothing fires after this time.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub end: String,
    /// Each fire is delayed by chance, by less than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Span>,
    /// Parameters of the executions.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub params: IndexMap<String, Value>,
    /// What becomes of a fire while an execution of the schedule runs; `skip` when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Overlap>,
    /// Which late fires are made up for: `all`, `last` or `none`; `all` when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catchup: Option<Catchup>,
    /// How late a fire may be, at least 10 s; 365 days when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catchup_window: Option<Span>,
    /// Whether it pauses when an execution fails.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pause_on_failure: bool,
    /// Whether it begins paused; afterwards only `nexus schedules pause` and `unpause` change that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

fn one_or_many(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
    })
}

/// What becomes of a fire while an execution of the schedule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is skipped.
    Skip,
    /// It starts after the execution's end; one more is skipped.
    BufferOne,
    /// All start one after the other.
    BufferAll,
    /// The execution is cancelled, and it starts when that has ended.
    CancelOther,
    /// It starts beside it.
    AllowAll,
}

/// Which late fires are made up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Catchup {
    /// Every one.
    All,
    /// The last one.
    Last,
    /// None.
    None,
}

/// What becomes of local times that a change of the clocks skips or repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DstPolicy {
    /// Once: a skipped time at the next instant that exists, a repeated one the first time.
    Adjust,
    /// A skipped time does not fire, a repeated one fires twice.
    Literal,
}

/// How days are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DayMatch {
    /// Days that either names.
    Or,
    /// Days that both name.
    And,
}
