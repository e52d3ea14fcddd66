//! The frame of an attempt, whatever the kind of its task: what surrounds it ([`RunContext`]), how it ends
//! ([`Outcome`]), its log, its secrets and how they are taken out of all that leaves it ([`Redactor`]), and which
//! addresses it may reach ([`address`]).

#![expect(
    clippy::result_large_err,
    reason = "a failure ends its attempt: it is made once and never on a hot path"
)]

pub mod address;
mod context;
mod fields;
mod gate;
pub mod logs;
mod outcome;
mod redact;
mod secrets;
mod size;

pub use context::{End, RunContext};
pub use fields::{read, text_of};
pub use gate::Gate;
pub use logs::{LogLine, LogSink, LogStream};
pub use outcome::{Failure, FailureKind, Outcome, cut_end, cut_start};
pub use redact::{MASK, RedactStream, Redactor};
pub use secrets::{SecretError, SecretStore};
pub use size::parse_size;
