//! Why an attempt, a task or an execution did not succeed.

use serde::{Deserialize, Serialize};

/// Who is at fault; decides which budget a failure spends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The task's own code, or the system that it called. Spends an attempt.
    #[default]
    User,
    /// The task outlived a time limit. Spends an attempt.
    Timeout,
    /// The worker or its machine was lost. Spends no attempt.
    Infrastructure,
    /// The attempt was cancelled.
    Cancelled,
}

/// Why an attempt, a task or an execution did not succeed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Who is at fault.
    pub kind: FailureKind,
    /// Stable type that `non_retryable_errors` matches (`ValueError`, `ExitCode`, `HttpStatus.503`).
    #[serde(rename = "type")]
    pub error_type: String,
    /// What went wrong, for people.
    pub message: String,
    /// Traceback or the end of stderr.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stack_trace: String,
    /// Trying again is pointless.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub non_retryable: bool,
    /// Wait that the failure itself asks for, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_retry_delay: Option<i64>,
    /// Further facts as JSON text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl Failure {
    /// A failure of a kind, with its type and message.
    #[must_use]
    pub fn new(kind: FailureKind, error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            error_type: error_type.into(),
            message: message.into(),
            ..Self::default()
        }
    }

    /// An expression that could not be evaluated: the file is wrong for this data, so trying again is pointless.
    #[must_use]
    pub fn expression(message: impl Into<String>) -> Self {
        Self {
            non_retryable: true,
            ..Self::new(FailureKind::User, "Expression", message)
        }
    }
}
