//! How an attempt ended, in the words of the contract but without its generated types.

use std::time::Duration;

use serde_json::Value;

use crate::redact::Redactor;

/// Longest failure message in bytes.
const MAX_MESSAGE: usize = 4 * 1024;
/// Longest stack trace in bytes.
const MAX_STACK_TRACE: usize = 16 * 1024;

/// How an attempt ended. A timeout is a failure of kind [`FailureKind::Timeout`].
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It ended well; the output as JSON text.
    Succeeded(String),
    /// It failed.
    Failed(Failure),
    /// It was stopped because somebody asked for it.
    Cancelled,
}

/// Who is at fault for a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FailureKind {
    /// The task's own code or the system that it called.
    #[default]
    User,
    /// The task outlived its time limit.
    Timeout,
    /// The worker or its machine.
    Infrastructure,
}

/// Why an attempt did not succeed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Failure {
    /// Stable type that a retry policy can name (`ValueError`, `ExitCode`, `HttpStatus.404`).
    pub error_type: String,
    /// What went wrong, in one or two sentences.
    pub message: String,
    /// The traceback or the tail of stderr; empty when there is none.
    pub stack_trace: String,
    /// True when another attempt cannot help.
    pub non_retryable: bool,
    /// Delay before the next attempt that the failure itself asks for.
    pub next_retry_delay: Option<Duration>,
    /// Further facts for programs.
    pub details: Option<Value>,
    /// Who is at fault.
    pub kind: FailureKind,
}

impl Failure {
    /// A failure of the task itself.
    #[must_use]
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            error_type: error_type.into(),
            message: message.into(),
            ..Self::default()
        }
    }

    /// A task that can never run as it is written.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidTask", message).final_()
    }

    /// A loss that is not the task's fault: type `WorkerLost`.
    #[must_use]
    pub fn lost(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Infrastructure,
            ..Self::new("WorkerLost", message)
        }
    }

    /// The worker's own code broke while it ran the task: a bug, and no loss of the worker. What the task has done by
    /// then nobody knows, so it is not run again.
    #[must_use]
    pub fn broken(reason: &str) -> Self {
        let message = format!(
            "the worker's own code failed while it ran the task, which is a bug ({reason}); the task may have had \
             effects, so it is not run again"
        );
        Self::new("WorkerBroken", message).final_()
    }

    /// The attempt outlived its time limit.
    #[must_use]
    pub fn timeout(limit: Duration) -> Self {
        Self {
            kind: FailureKind::Timeout,
            details: Some(serde_json::json!({"timeout_seconds": limit.as_secs_f64()})),
            ..Self::new(
                "Timeout",
                format!("the attempt took longer than its time limit of {}", seconds(limit)),
            )
        }
    }

    /// Marks that another attempt cannot help.
    #[must_use]
    pub fn final_(mut self) -> Self {
        self.non_retryable = true;
        self
    }

    /// Adds facts for programs.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// Redacts first and cuts afterwards, so that a cut can never split a secret into something unrecognisable.
    #[must_use]
    pub fn sealed(mut self, redactor: &Redactor) -> Self {
        self.error_type = redactor.text(&self.error_type).into_owned();
        self.message = cut_end(&redactor.text(&self.message), MAX_MESSAGE);
        self.stack_trace = cut_start(&redactor.text(&self.stack_trace), MAX_STACK_TRACE);
        self.details = self.details.map(|details| redactor.value(details));
        self
    }
}

/// A span as a person reads it.
fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs_f64())
}

/// Keeps the beginning of a text that is too long, on a character boundary.
pub fn cut_end(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    const MARK: &str = " … [cut]";
    let end = text.floor_char_boundary(limit.saturating_sub(MARK.len()));
    format!("{}{MARK}", &text[..end])
}

/// Keeps the end of a text that is too long: a traceback says what happened in its last lines.
pub fn cut_start(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    const MARK: &str = "[cut] … ";
    let start = text.ceil_char_boundary(text.len() - limit.saturating_sub(MARK.len()));
    format!("{MARK}{}", &text[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_respect_limits_and_characters() {
        let text = "ä".repeat(100);
        for limit in [20, 21, 199, 200] {
            assert!(cut_end(&text, limit).len() <= limit.max(20), "{limit}");
            assert!(cut_start(&text, limit).len() <= limit.max(20), "{limit}");
        }
        assert_eq!(cut_end("short", 5), "short");
        assert!(cut_start(&text, 50).ends_with('ä'));
    }

    #[test]
    fn a_secret_on_the_cut_is_redacted_before_it() {
        let redactor = Redactor::new(["hunter2-long-secret"]);
        let failure = Failure::new("X", format!("{}hunter2-long-secret", "a".repeat(MAX_MESSAGE - 10)));
        assert!(!failure.sealed(&redactor).message.contains("hunter2"));
    }
}
