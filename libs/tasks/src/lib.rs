//! What a task of each kind does, run with limits, redaction and a sure end.
//!
//! [`TaskRunner::run`] takes a task whose expressions and secrets are already filled in and answers with an
//! [`Outcome`]; it never hangs longer than the task's timeout plus a grace, and it leaves no process behind. This crate
//! knows nothing of NEXUS's own services, leases or workflows; gRPC it knows as something that tasks call.

#![expect(
    clippy::result_large_err,
    reason = "a failure ends its attempt: it is made once and never on a hot path"
)]

mod address;
mod bash;
mod gate;
mod grpc;
mod http;
mod input;
mod logs;
mod options;
mod outcome;
mod patience;
mod priority;
mod process;
mod python;
mod redact;
mod runner;
mod secrets;
mod size;
mod sql;
pub mod supervisor;
mod user;

pub use gate::Gate;
pub use logs::{LogLine, LogSink, LogStream};
pub use nexus_spec::KindName;
pub use options::{Options, Supervisor};
pub use outcome::{Failure, FailureKind, Outcome};
pub use redact::{MASK, Redactor};
pub use runner::{RunContext, TaskInput, TaskRunner};
pub use secrets::{SecretError, SecretStore};
pub use size::parse_size;
pub use user::TaskUser;
