//! What a task of each kind does, run with limits, redaction and a sure end.
//!
//! [`TaskRunner::run`] takes a task whose expressions and secrets are already filled in and answers with an
//! [`Outcome`]; it never hangs longer than the task's timeout plus a grace, and it leaves no process behind. This crate
//! knows nothing of NEXUS's own services, leases or workflows; gRPC it knows as something that tasks call.

#![expect(
    clippy::result_large_err,
    reason = "a failure ends its attempt: it is made once and never on a hot path"
)]

mod bash;
mod http;
mod input;
mod options;
mod patience;
mod priority;
mod process;
mod python;
mod runner;
pub mod supervisor;
mod user;

pub use nexus_attempt::{
    Failure, FailureKind, Gate, LogLine, LogSink, LogStream, MASK, Outcome, Redactor, RunContext, SecretError,
    SecretStore, parse_size,
};
pub use nexus_spec::KindName;
pub use options::Options;
pub use runner::{TaskInput, TaskRunner};
pub use supervisor::Supervisor;
pub use user::TaskUser;
