//! The workflow as data: what a file means once it has been read. This form is stored (as canonical JSON), run and
//! exported; it knows nothing of positions, YAML or diagnostics.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::Span;
pub use crate::kinds::{Kind, KindName};

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

/// Runs a Python function. Exactly one of `code` and `function` is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Python {
    /// Source text that defines `main(**args)`; its return value (any JSON) is the output. No expressions in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// `module:name` of an importable function, called with `args`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Keyword arguments; values may hold expressions.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub args: IndexMap<String, Value>,
    /// Environment variables; values may hold expressions.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, Value>,
    /// Memory limit of the process, such as `512MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// How far attempts are kept apart: `fork` (the default), `warm` or `process`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

/// How far the attempts of Python tasks are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Each attempt is forked from a warm interpreter and shares nothing with another.
    Fork,
    /// Attempts of the same code follow each other in one interpreter and share its modules and globals.
    Warm,
    /// Each attempt has an interpreter that is started for it.
    Process,
}

/// Runs a Bash script.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bash {
    /// The script. No expressions in it: values arrive through `env`. Lines `key=value` (or one JSON object) written
    /// to the file `$NEXUS_OUTPUT` are the output.
    pub run: String,
    /// Environment variables; values may hold expressions.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, Value>,
    /// Memory limit of each process, such as `512MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
}

/// Makes one HTTP request; the output is `{status, headers, json}` or `{status, headers, text}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Absolute `http` or `https` address; may hold expressions.
    pub url: String,
    /// Request method; `GET` without a body and `POST` with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// Query parameters, percent-encoded; a list repeats the key.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub query: IndexMap<String, Value>,
    /// Request headers.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, Value>,
    /// Body as JSON; at most one of `json`, `form`, `body`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// Body as an URL-encoded form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<IndexMap<String, Value>>,
    /// Body as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Statuses that count as success: numbers (`204`) and classes (`2xx`); `[2xx]` when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<StatusPattern>,
    /// Largest response body, such as `1MiB` (the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<String>,
    /// How many redirects to follow; none when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirects: Option<u8>,
}

/// A status code or a class of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StatusPattern {
    /// One status, 100 to 599.
    Code(u16),
    /// A class: `1xx` to `5xx`.
    Class(String),
}

/// An HTTP request method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

/// Runs one SQL statement; the output is `{rows, row_count, columns}`. Exactly one of `connection` and `url` is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sql {
    /// Name of a connection that the worker knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Address of the database (`postgres://`, `mysql://`, `sqlite:`); may hold expressions, secrets among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// One statement with `:name` parameters. No expressions in it.
    pub statement: String,
    /// Values of the parameters; may hold expressions. Lists and objects are bound as JSON text.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub bind: IndexMap<String, Value>,
    /// At most this many rows come back (1,000 when not said); more is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rows: Option<u32>,
}

/// Calls one method of a gRPC service; the output is the response as JSON, or `{messages}` for a stream of responses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grpc {
    /// Address of the service, `https://host:port`, or `http://host:port` without TLS; may hold expressions.
    pub target: String,
    /// `package.Service/Method`: unary or server-streaming.
    pub method: String,
    /// The request as JSON, by the mapping of protobuf; an empty message when not said; may hold expressions.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub message: Value,
    /// Metadata of the call; values may hold expressions. Names that end in `-bin` take base64.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub metadata: IndexMap<String, Value>,
    /// The call may take this long; the task's time limit bounds it in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// Certificates of a target with `https://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<GrpcTls>,
    /// A FileDescriptorSet in base64 that describes the method; may hold expressions. Instead of reflection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<String>,
    /// True to ask the server itself what the method takes; that is so when there is no `descriptor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reflection: Option<bool>,
    /// True when the call may be repeated although it may have taken effect; what the method's `idempotency_level` says
    /// when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// Largest answer, of a stream all its messages together, such as `1MiB` (the default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<String>,
    /// At most this many messages of a stream (1,000 when not said); more is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_messages: Option<u32>,
}

/// Certificates for a gRPC target, as PEM text; all may hold expressions, secrets among them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcTls {
    /// The roots that the server is verified with; those of the worker's system when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The client's certificate; with `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// The key of the client's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The name that the server's certificate must have; the target's host when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// Does nothing but pass a value on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Noop {
    /// The output; may hold expressions; `null` when not said.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub output: Value,
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
