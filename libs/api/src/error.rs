//! Errors as callers see them: a gRPC status with `google.rpc.ErrorInfo` (a stable reason under the domain
//! `nexus.dev`), field violations and, where waiting helps, `RetryInfo`. Every service builds its statuses here.

mod bounds;

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::common::v1::ErrorReason;

/// The domain of every `ErrorInfo` that NEXUS sends.
pub const DOMAIN: &str = "nexus.dev";

/// An error on its way to a caller: what, where and what to do.
#[derive(Debug, Clone)]
pub struct ApiError {
    reason: ErrorReason,
    message: String,
    violations: Vec<FieldViolation>,
    metadata: HashMap<String, String>,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// An error with a stable reason and a message that names what, where and what to do.
    #[must_use]
    pub fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            violations: Vec::new(),
            metadata: HashMap::new(),
            retry_after: None,
        }
    }

    /// A field of the request that is missing, malformed or out of bounds.
    #[must_use]
    pub fn field(field: &str, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self::new(ErrorReason::InvalidField, format!("{field}: {problem}")).violation(field, problem)
    }

    /// Adds a field violation: the path of the field (or a JSON pointer into it) and what is wrong with it.
    #[must_use]
    pub fn violation(mut self, field: impl Into<String>, problem: impl Into<String>) -> Self {
        self.violations.push(FieldViolation::new(field, problem));
        self
    }

    /// Adds a fact for programs, such as the name of the missing resource.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// Says when the call may be repeated.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The stable reason.
    #[must_use]
    pub fn reason(&self) -> ErrorReason {
        self.reason
    }

    /// The gRPC code that the reason maps to; the one table of the house.
    #[must_use]
    pub fn code(&self) -> Code {
        use ErrorReason as R;
        match self.reason {
            R::InvalidField
            | R::InvalidWorkflow
            | R::InvalidParams
            | R::InvalidPageToken
            | R::InvalidFilter
            | R::InvalidSchedule
            | R::PayloadTooLarge => Code::InvalidArgument,
            R::WorkflowNotFound
            | R::RevisionNotFound
            | R::ExecutionNotFound
            | R::TaskNotFound
            | R::ReaderNotFound
            | R::UserNotFound
            | R::RoleNotFound
            | R::ApiKeyNotFound
            | R::SessionNotFound
            | R::SecretNotFound
            | R::ScheduleNotFound
            | R::BackfillNotFound
            | R::ChannelNotFound
            | R::RuleNotFound
            | R::DeliveryNotFound => Code::NotFound,
            R::WorkflowExists
            | R::RequestIdReused
            | R::UserExists
            | R::RoleExists
            | R::ScheduleExists
            | R::ChannelExists
            | R::RuleExists => Code::AlreadyExists,
            R::CredentialInvalid | R::LoginRefused => Code::Unauthenticated,
            R::PermissionMissing => Code::PermissionDenied,
            R::EtagMismatch | R::StaleAttempt | R::SessionMoved | R::RequestOutcomeUnknown => Code::Aborted,
            R::ExecutionClosed
            | R::WorkerUnknown
            | R::FeedIncomplete
            | R::RoleInUse
            | R::LastAdministrator
            | R::SecretKeyMissing => Code::FailedPrecondition,
            R::SecretDamaged => Code::DataLoss,
            R::Overloaded | R::TooManyReaders | R::TooMany | R::RateLimited => Code::ResourceExhausted,
            R::FeedEntriesLost | R::FeedPositionAhead => Code::OutOfRange,
            R::StorageUnavailable | R::NotOwner | R::ShuttingDown | R::Interrupted | R::AccessUnavailable => {
                Code::Unavailable
            }
            R::DeadlineExceeded => Code::DeadlineExceeded,
            R::Internal | R::Unspecified => Code::Internal,
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason_name(error.reason), DOMAIN, bounds::facts(&error.metadata));
        if !error.violations.is_empty() {
            details.set_bad_request(bounds::violations(&error.violations));
        }
        if let Some(delay) = error.retry_after {
            details.set_retry_info(Some(delay));
        }
        Self::with_error_details(error.code(), bounds::message(&error.message), details)
    }
}

/// The reason as `ErrorInfo` spells it: the enum's name without its prefix (`WORKFLOW_NOT_FOUND`).
#[must_use]
pub fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

/// The reason that a status carries, when NEXUS sent it.
#[must_use]
pub fn reason_of(status: &Status) -> Option<ErrorReason> {
    let info = status.get_details_error_info()?;
    if info.domain != DOMAIN {
        return None;
    }
    ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_quotes_its_caller_stays_within_what_every_client_takes() {
        let long = "\u{fc}".repeat(50_000);
        let error = ApiError::field("workflow", format!("there is no {long}")).with("workflow", long.as_str());
        let headers = Status::from(error.violation(long.as_str(), long.as_str()));
        let headers = headers.into_http::<()>().headers().clone();
        let bytes: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 32)
            .sum();
        assert!(bytes < 8 << 10, "{bytes}");
    }

    #[test]
    fn a_status_carries_reason_fields_and_delay() {
        let error = ApiError::field("workflow", "must not be empty")
            .with("limit", "63")
            .retry_after(Duration::from_secs(2));
        let status = Status::from(error);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(reason_of(&status), Some(ErrorReason::InvalidField));
        let details = status.get_error_details();
        let violations = &details.bad_request().expect("bad request").field_violations;
        assert_eq!(violations[0].field, "workflow");
        assert_eq!(
            details.retry_info().and_then(|r| r.retry_delay),
            Some(Duration::from_secs(2))
        );
    }

    #[test]
    fn every_reason_has_a_name_without_prefix() {
        for number in 0..64 {
            if let Ok(reason) = ErrorReason::try_from(number) {
                assert!(!reason_name(reason).starts_with("ERROR_REASON"), "{reason:?}");
            }
        }
    }
}
