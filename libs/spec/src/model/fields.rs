//! What stands under each kind key.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::Span;

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
