//! Errors as people read them: what, where, what to do.

use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::exit::Exit;

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The server said no.
    #[error("{}", .0.message())]
    Server(Box<Status>),
    /// The server does not take the caller for anybody.
    #[error("{}", status.message())]
    Unauthenticated {
        /// What it says.
        status: Box<Status>,
        /// What to do.
        advice: String,
    },
    /// Somebody else than the server does not agree.
    #[error("{0}")]
    Denied(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The server cannot be reached.
    #[error("the server at {address} cannot be reached: {problem}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What the network says.
        problem: String,
    },
    /// A file cannot be read.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
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
            Self::Unauthenticated { .. } | Self::Denied(_) => Exit::Denied,
            Self::Interrupted => Exit::Interrupted,
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
            Self::Unauthenticated { advice, .. } => lines.push(format!("hint: {advice}")),
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
        (_, Code::Unauthenticated | Code::PermissionDenied) => Exit::Denied,
        (_, Code::Unavailable | Code::DeadlineExceeded) => Exit::Unavailable,
        _ => Exit::Error,
    }
}

/// What to do about an error of the server, where its message does not say so.
fn hint(status: &Status) -> Option<String> {
    let details = status.get_error_details();
    let fixed = match reason_of(status)? {
        ErrorReason::ExecutionNotFound => "`nexus executions list` shows those that are there",
        ErrorReason::WorkflowNotFound => "`nexus workflows list` shows those that are there",
        ErrorReason::RevisionNotFound => "`nexus workflows revisions` shows those that are there",
        ErrorReason::SecretNotFound => "`nexus secrets list` shows those that are there",
        ErrorReason::Overloaded | ErrorReason::StorageUnavailable | ErrorReason::ShuttingDown => {
            "the call may be repeated in a moment"
        }
        ErrorReason::RequestIdReused => "choose another --request-id for another start",
        ErrorReason::CredentialInvalid => "log in with `nexus login`, or give an API key with NEXUS_API_KEY",
        ErrorReason::AccessUnavailable => "who calls cannot be found out at present; try again in a moment",
        ErrorReason::PermissionMissing => return Some(missing(&details)),
        ErrorReason::LoginRefused => {
            let delay = details.retry_info()?.retry_delay?;
            return Some(format!("the next try is possible in {} s", delay.as_secs().max(1)));
        }
        _ => return None,
    };
    Some(fixed.to_owned())
}

/// Which permission is missing, and how one comes by it.
fn missing(details: &ErrorDetails) -> String {
    let about = details.error_info();
    let told = |key: &str| {
        about
            .and_then(|about| about.metadata.get(key))
            .filter(|value| !value.is_empty())
    };
    let place = match told("namespace").map(String::as_str) {
        Some("*") => " in every namespace".to_owned(),
        Some(namespace) => format!(" in the namespace {namespace}"),
        None => String::new(),
    };
    let what = match told("permission") {
        Some(permission) => format!("it takes the permission {permission}{place}"),
        None => "a permission is missing".to_owned(),
    };
    format!("{what}; `nexus whoami` shows what you may do, and an administrator can give you a role that has it")
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
        let denied = ApiError::new(ErrorReason::PermissionMissing, "not allowed").with("permission", "workflows.write");
        let denied = CliError::from(Status::from(denied.with("namespace", "team-a")));
        assert_eq!(denied.exit(), Exit::Denied);
        let said = denied.report();
        assert!(
            said.contains("workflows.write in the namespace team-a") && said.contains("nexus whoami"),
            "{said}"
        );
        let refused = ApiError::new(ErrorReason::LoginRefused, "no").retry_after(std::time::Duration::from_secs(60));
        let refused = CliError::from(Status::from(refused));
        assert!(refused.report().contains("in 60 s"), "{}", refused.report());
        for (reason, command) in [
            (ErrorReason::ExecutionNotFound, "nexus executions list"),
            (ErrorReason::WorkflowNotFound, "nexus workflows list"),
            (ErrorReason::RevisionNotFound, "nexus workflows revisions"),
            (ErrorReason::SecretNotFound, "nexus secrets list"),
        ] {
            let gone = CliError::from(Status::from(ApiError::new(reason, "it is not there")));
            assert!(gone.report().contains(command), "{}", gone.report());
        }
        let away = CliError::Unreachable {
            address: "http://h:1".into(),
            problem: "connection refused".into(),
        };
        assert!(away.report().contains("nexus dev") && away.report().contains("http://h:1"));
    }
}
