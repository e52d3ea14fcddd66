//! Errors as people read them: what, where, what to do.

use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::exit::Exit;

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The server said no.
    #[error("{}", .0.message())]
    Server(Box<Status>),
    /// The server cannot be reached.
    #[error("the server at {address} cannot be reached: {problem}")]
    Unreachable { address: String, problem: String },
    /// A file cannot be read.
    #[error("{path}: {problem}")]
    File { path: String, problem: String },
    /// A workflow or its parameters are invalid; what is wrong has been said.
    #[error("{0}")]
    Invalid(String),
    /// Something that was typed makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Nobody reads what the command prints.
    #[error("stdout is closed")]
    Closed,
    /// The wait was over first.
    #[error("{0}")]
    StillRunning(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<Status> for CliError {
    fn from(status: Status) -> Self {
        Self::Server(Box::new(status))
    }
}

impl CliError {
    /// The exit code that the error stands for.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Server(status) => of_status(status),
            Self::Unreachable { .. } => Exit::Unavailable,
            Self::Invalid(_) => Exit::Invalid,
            Self::StillRunning(_) => Exit::StillRunning,
            Self::Closed => Exit::Ok,
            Self::File { .. } | Self::Usage(_) | Self::Other(_) => Exit::Error,
        }
    }

    /// The whole message, several lines when there is more to say.
    #[must_use]
    pub fn report(&self) -> String {
        let mut lines = vec![format!("error: {self}")];
        match self {
            Self::Server(status) => {
                let details = status.get_error_details();
                if let Some(request) = details.bad_request() {
                    let told = |text: &str| status.message() == text;
                    let violations = request.field_violations.iter();
                    let lines_of =
                        violations.map(|violation| format!("{}: {}", violation.field, violation.description));
                    lines.extend(lines_of.filter(|line| !told(line)).map(|line| format!("  {line}")));
                }
                if let Some(hint) = hint(status) {
                    lines.push(format!("hint: {hint}"));
                }
            }
            Self::Unreachable { .. } => {
                lines.push("hint: start one with `nexus dev`, or name another with --address or NEXUS_ADDRESS".into());
            }
            _ => {}
        }
        lines.join("\n")
    }
}

fn of_status(status: &Status) -> Exit {
    match (reason_of(status), status.code()) {
        (Some(ErrorReason::InvalidWorkflow | ErrorReason::InvalidParams), _) => Exit::Invalid,
        (_, Code::Unavailable | Code::DeadlineExceeded) => Exit::Unavailable,
        _ => Exit::Error,
    }
}

/// What to do about an error of the server, where its message does not say so.
fn hint(status: &Status) -> Option<&'static str> {
    match (reason_of(status)?, status.message()) {
        (ErrorReason::ExecutionNotFound, _) => Some("`nexus executions list` shows those that are there"),
        (ErrorReason::Overloaded | ErrorReason::StorageUnavailable | ErrorReason::ShuttingDown, _) => {
            Some("the call may be repeated in a moment")
        }
        (ErrorReason::RequestIdReused, _) => Some("choose another --request-id for another start"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use nexus_api::error::ApiError;

    use super::*;

    #[test]
    fn violations_stand_one_per_line_and_reasons_have_numbers() {
        let status = Status::from(
            ApiError::new(ErrorReason::InvalidParams, "2 parameters are invalid")
                .violation("/day", "is not a date")
                .violation("/n", "is missing"),
        );
        let error = CliError::from(status);
        assert_eq!(error.exit(), Exit::Invalid);
        assert_eq!(
            error.report(),
            "error: 2 parameters are invalid\n  /day: is not a date\n  /n: is missing"
        );
        assert_eq!(CliError::from(Status::unavailable("x")).exit(), Exit::Unavailable);
        assert_eq!(CliError::from(Status::not_found("x")).exit(), Exit::Error);
        let away = CliError::Unreachable {
            address: "http://h:1".into(),
            problem: "connection refused".into(),
        };
        assert!(away.report().contains("nexus dev") && away.report().contains("http://h:1"));
    }
}
