//! How the caller stands towards the server: whether it is there, whether it knows who calls.

use std::time::Duration;

use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use tonic::{Code, Status};

use super::error::CliError;
use super::target::Target;

/// How often a wait or a watch goes on after the server was away, before it gives up.
pub const MAX_RECONNECTS: u32 = 20;
/// How the caller stands towards the server, for errors that say what to do.
#[derive(Debug, Clone)]
pub struct Standing {
    address: String,
    advice: String,
}

impl Standing {
    /// That of a command's calls.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        Self {
            address: target.address().to_owned(),
            advice: target.advice(),
        }
    }

    /// An error of a call: a status that no server sent says that there is none.
    pub fn error(&self, status: Status) -> CliError {
        if is_away(&status) && reason_of(&status).is_none() {
            return CliError::Unreachable {
                address: self.address.clone(),
                problem: innermost(&status),
            };
        }
        if status.code() == Code::Unimplemented && status.message().is_empty() {
            return CliError::Other(format!(
                "the server at {} does not know this call: it is of an older version, or goes without this service",
                self.address
            ));
        }
        if status.code() == Code::Unauthenticated && reason_of(&status) != Some(ErrorReason::LoginRefused) {
            return CliError::Unauthenticated {
                status: Box::new(status),
                advice: self.advice.clone(),
            };
        }
        status.into()
    }
}

/// True when the server is away, so that the call may be repeated: it says so itself, or the connection broke. A stream
/// that breaks in the middle has another code than a call that never began, but it has the transport's error inside.
pub fn is_away(status: &Status) -> bool {
    let broken = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Unavailable => true,
        Code::Unknown | Code::Internal | Code::Cancelled => broken,
        _ => false,
    }
}

/// What happened, without the layers that it happened in.
fn innermost(status: &Status) -> String {
    let mut error: &dyn std::error::Error = status;
    while let Some(source) = error.source() {
        error = source;
    }
    let text = error.to_string();
    if text.starts_with("status:") || text.is_empty() {
        status.message().to_owned()
    } else {
        text
    }
}

/// The wait before the server is asked again: doubling up to 2 s.
pub fn pause(failures: u32) -> Duration {
    Duration::from_millis(100)
        .saturating_mul(1 << failures.min(5))
        .min(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_connection_or_the_server_itself_says_away() {
        let broken = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let mut status = Status::unknown("h2 protocol error");
        assert!(!is_away(&status));
        status.set_source(std::sync::Arc::new(broken()));
        assert!(is_away(&status));
        let mut status = Status::not_found("no such execution");
        status.set_source(std::sync::Arc::new(broken()));
        assert!(!is_away(&status));
        assert!(is_away(&Status::unavailable("shutting down")));
    }
}
