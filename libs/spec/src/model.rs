//! The workflow as data: what a file means once it has been read. This form is stored (as canonical JSON), run and
//! exported; it knows nothing of positions, YAML or diagnostics.

mod fields;
mod notify;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::Span;
pub use crate::kinds::{Kind, KindName};
pub use fields::{Bash, Grpc, GrpcTls, Http, HttpMethod, Isolation, Noop, Python, Sql, StatusPattern};
pub use notify::{Notify, NotifyEvent};

/// A workflow: a graph of tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// Unique name: `[a-z][a-z0-9_]{0,62}`.
    pub name: String,
    /// One or two sentences for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Key-value pairs for grouping and filters.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
    /// JSON Schema (2020-12) of the parameters; without it any object is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Value>,
    /// The whole execution may take this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// True to cancel everything else as soon as one task has failed for good; false to let independent tasks finish.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fail_fast: bool,
    /// What every task has unless it says otherwise.
    #[serde(default, skip_serializing_if = "Defaults::is_empty")]
    pub defaults: Defaults,
    /// The tasks by id; ids match `[a-z][a-z0-9_]{0,62}`.
    pub tasks: IndexMap<String, Task>,
    /// The execution's output: any value, with expressions; evaluated when every task has ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Who is told of what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Notify>,
}

/// What every task has unless it says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Time limit of one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// When to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Queue that tasks are handed out from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Which tasks of a queue go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}

impl Defaults {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One task. Exactly one kind key, such as `python`, says what it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// One or two sentences for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Tasks that must end first; tasks that an expression refers to need not be repeated here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Tasks whose failure this task repairs. It runs after them, when one of them failed unless `trigger_rule` says
    /// otherwise, and once it SUCCEEDED their failures are no failures of the execution. An empty list says that it
    /// repairs nothing: it only tells of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handles: Option<Vec<String>>,
    /// Bare expression; the task is skipped when it is false.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// How the tasks that it needs must have ended.
    #[serde(default, skip_serializing_if = "TriggerRule::is_default")]
    pub trigger_rule: TriggerRule,
    /// Time limit of one attempt, from lease to report; 1 h when nothing is said anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Time limit from ready to leased; never retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_to_start_timeout: Option<Span>,
    /// Time limit from first ready to the end, over all attempts and the waits between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_timeout: Option<Span>,
    /// When to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Queue that it is handed out from; `default` when nothing is said anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Which tasks of a queue go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// What happens when the worker is lost: run it again, or never twice.
    #[serde(default, skip_serializing_if = "Delivery::is_default")]
    pub delivery: Delivery,
    /// Uses the output of an earlier run with the same input, while it is kept, instead of running again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<ResultCache>,
    /// True when the task's failure is no failure of the execution; tasks that need it treat it as a success.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continue_on_error: bool,
    /// What it does.
    #[serde(flatten)]
    pub kind: Kind,
}

impl Task {
    /// The tasks whose failure this task repairs.
    #[must_use]
    pub fn handled(&self) -> &[String] {
        self.handles.as_deref().unwrap_or_default()
    }

    /// How the tasks that it needs must have ended: its own word, or that of a task which handles failures.
    #[must_use]
    pub fn rule(&self) -> TriggerRule {
        match self.trigger_rule {
            // Under this rule it would never see a failure, so nobody can have meant it.
            TriggerRule::AllSuccess if !self.handled().is_empty() => TriggerRule::OneFailed,
            rule => rule,
        }
    }
}

/// When to try again after a failure.
///
/// The wait before attempt n+1 is `min(initial_interval × backoff_coefficient^(n−1), max_interval)`, lengthened or
/// shortened by at most `jitter` of itself (the formula of Temporal's RetryPolicy, plus jitter).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// How many attempts there may be in all (not retries): 1 to 1,000.
    pub max_attempts: u32,
    /// Wait before the second attempt.
    pub initial_interval: Span,
    /// Each further wait is this many times the one before; at least 1.
    pub backoff_coefficient: f64,
    /// No wait is longer; 100 times the initial interval when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_interval: Option<Span>,
    /// Share of the wait, 0 to 1, that chance may add or take away.
    pub jitter: f64,
    /// Error types (`ValueError`, `HttpStatus.404`) after which trying again is pointless.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub non_retryable_errors: Vec<String>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            initial_interval: Span::from_secs(1),
            backoff_coefficient: 2.0,
            max_interval: None,
            jitter: 0.1,
            non_retryable_errors: Vec::new(),
        }
    }
}

/// How long the output of a successful task is kept for executions whose task has the same input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResultCache {
    /// For how long; at most 30 days.
    pub ttl: Span,
}

impl ResultCache {
    /// The longest time for which an output may be kept.
    pub const MOST: Span = Span::from_secs(30 * 24 * 3_600);
}

/// How the tasks that a task needs must have ended for it to run. Names and meanings are Airflow's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TriggerRule {
    /// All succeeded.
    #[default]
    AllSuccess,
    /// All failed.
    AllFailed,
    /// All ended, however.
    AllDone,
    /// All ended and at least one succeeded.
    AllDoneMinOneSuccess,
    /// All were skipped.
    AllSkipped,
    /// At least one failed; does not wait for the others.
    OneFailed,
    /// At least one succeeded; does not wait for the others.
    OneSuccess,
    /// At least one succeeded or failed; does not wait for the others.
    OneDone,
    /// None failed: all succeeded or were skipped.
    NoneFailed,
    /// None failed and at least one succeeded.
    NoneFailedMinOneSuccess,
    /// None was skipped.
    NoneSkipped,
    /// At once.
    Always,
}

impl TriggerRule {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which tasks of a queue go first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before the others.
    High,
    /// The usual.
    #[default]
    Normal,
    /// After the others.
    Low,
}

/// What happens when the worker of a running attempt is lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The task is given out again.
    #[default]
    AtLeastOnce,
    /// The task is never given out twice; it ends UNKNOWN, for a person.
    AtMostOnce,
}

impl Delivery {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
