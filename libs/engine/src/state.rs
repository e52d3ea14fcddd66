//! Where executions and tasks can stand, and what they give.

use std::sync::{Arc, OnceLock};

use serde_json::Value;

/// Where an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum ExecutionState {
    Pending,
    Running,
    Paused,
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
}

impl ExecutionState {
    /// Whether it stays so for ever.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::TimedOut)
    }
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum TaskState {
    Waiting,
    Scheduled,
    Running,
    Retrying,
    Sleeping,
    AwaitingSignal,
    Paused,
    Succeeded,
    Cached,
    Skipped,
    UpstreamFailed,
    Failed,
    TimedOut,
    Cancelled,
    Unknown,
}

impl TaskState {
    /// Whether it stays so for ever.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        !matches!(
            self,
            Self::Waiting
                | Self::Scheduled
                | Self::Running
                | Self::Retrying
                | Self::Sleeping
                | Self::AwaitingSignal
                | Self::Paused
        )
    }

    /// The state as expressions, contracts and people spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Scheduled => "SCHEDULED",
            Self::Running => "RUNNING",
            Self::Retrying => "RETRYING",
            Self::Sleeping => "SLEEPING",
            Self::AwaitingSignal => "AWAITING_SIGNAL",
            Self::Paused => "PAUSED",
            Self::Succeeded => "SUCCEEDED",
            Self::Cached => "CACHED",
            Self::Skipped => "SKIPPED",
            Self::UpstreamFailed => "UPSTREAM_FAILED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// What brings an execution to an early end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Closing {
    /// Somebody cancelled it.
    Cancelled,
    /// It outlived its time limit.
    TimedOut,
    /// A task failed, and the workflow says `fail_fast`.
    FailFast,
}

/// Whether anything of an execution may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It may.
    Open,
    /// Not now: what runs goes on, and nothing new is given out.
    Paused,
    /// Never again: what runs is told to stop, and then the execution ends.
    Closing,
}

impl Mode {
    /// Whether anything may start now.
    #[must_use]
    pub fn may_start(self) -> bool {
        self == Self::Open
    }

    /// Whether the execution is on its way to an early end.
    #[must_use]
    pub fn is_closing(self) -> bool {
        self == Self::Closing
    }
}

/// A task's or workflow's output: the JSON text exactly as it came, parsed only when an expression looks into it.
#[derive(Debug, Clone)]
pub struct Output {
    text: Arc<str>,
    parsed: Arc<OnceLock<Arc<Value>>>,
}

impl Output {
    /// An output from JSON text. Text that is not JSON reads as `null` in expressions; callers check it before.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self {
            text: text.into(),
            parsed: Arc::default(),
        }
    }

    /// The JSON text.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> Arc<Value> {
        Arc::clone(
            self.parsed
                .get_or_init(|| Arc::new(serde_json::from_str(&self.text).unwrap_or(Value::Null))),
        )
    }
}

impl PartialEq for Output {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
