//! Who is told of what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tells some channels of the namespace of some events of the workflow's executions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Of what.
    pub on: Vec<NotifyEvent>,
    /// A channel's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Names of more channels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// Bare expression over event, execution, workflow, task and error; nobody is told when it is false.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// What somebody can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotifyEvent {
    /// An execution failed or timed out.
    Failure,
    /// An execution succeeded.
    Success,
    /// An execution succeeded whose workflow's last one failed or timed out.
    Recovered,
    /// An execution was cancelled.
    Cancelled,
    /// An execution failed.
    Failed,
    /// An execution timed out.
    TimedOut,
    /// The first task of an execution was handed out.
    Started,
    /// A task failed, whatever becomes of its execution.
    TaskFailed,
    /// An attempt of a task failed, and another one follows.
    TaskRetried,
}

impl NotifyEvent {
    /// Each with its word.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("failure", Self::Failure),
        ("success", Self::Success),
        ("recovered", Self::Recovered),
        ("cancelled", Self::Cancelled),
        ("failed", Self::Failed),
        ("timed_out", Self::TimedOut),
        ("started", Self::Started),
        ("task_failed", Self::TaskFailed),
        ("task_retried", Self::TaskRetried),
    ];

    /// The event of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, event)| *event)
    }
}
