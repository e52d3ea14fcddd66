//! The service's errors as callers see them.

use std::time::Duration;

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use nexus_execution_owner::OwnerError;
use nexus_execution_store::StoreError;
use tonic::Status;

/// An error that callers are told of in the words of the API.
pub(crate) trait ToApiError {
    /// What they are told.
    fn to_api_error(self) -> ApiError;
}

impl ToApiError for StoreError {
    fn to_api_error(self) -> ApiError {
        match &self {
            StoreError::Fenced | StoreError::Conflict { .. } => ApiError::new(
                ErrorReason::NotOwner,
                "another process has taken the execution over; repeat the call",
            )
            .retry_after(Duration::from_secs(1)),
            StoreError::Inconsistent(what) => nexus_service::error::inconsistent(what),
            StoreError::Database(cause) => nexus_service::error::database(cause),
        }
    }
}

impl ToApiError for OwnerError {
    fn to_api_error(self) -> ApiError {
        match self {
            OwnerError::Overloaded { delay, .. } => ApiError::new(
                ErrorReason::Overloaded,
                format!("{self}; repeat the call in {} s", delay.as_secs()),
            )
            .retry_after(delay),
            OwnerError::Definitions(_) => {
                ApiError::new(ErrorReason::StorageUnavailable, self.to_string()).retry_after(Duration::from_secs(1))
            }
            OwnerError::ShuttingDown => ApiError::new(ErrorReason::ShuttingDown, format!("{self}; repeat the call"))
                .retry_after(Duration::from_secs(1)),
            OwnerError::NotOwner(_) => ApiError::new(ErrorReason::NotOwner, format!("{self}; repeat the call"))
                .retry_after(Duration::from_secs(1)),
            OwnerError::OwnerChanged => ApiError::new(
                ErrorReason::NotOwner,
                format!("{self}; repeat the call, with the same request_id if it has one"),
            )
            .retry_after(Duration::from_secs(1)),
            OwnerError::RequestIdReused => {
                nexus_service::idempotency::reused("for a start with other params, labels or revision")
            }
            OwnerError::NotLive(id) => ApiError::new(
                ErrorReason::ExecutionClosed,
                format!("execution {id} has ended already"),
            ),
            OwnerError::Store(error) => error.to_api_error(),
        }
    }
}

/// An execution that does not exist.
pub(crate) fn execution_not_found(id: &str) -> Status {
    let message = format!("there is no execution {id}; the list of executions has those that are there");
    ApiError::new(ErrorReason::ExecutionNotFound, message)
        .with("execution", id)
        .into()
}

/// A task that does not exist.
pub(crate) fn task_not_found(execution: &str, task: &str) -> Status {
    let message = format!("execution {execution} has no task {task}");
    ApiError::new(ErrorReason::TaskNotFound, message)
        .with("execution", execution)
        .with("task", task)
        .into()
}

/// Any error of the service as a status.
pub(crate) fn status(error: impl ToApiError) -> Status {
    error.to_api_error().into()
}
