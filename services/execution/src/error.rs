//! The service's errors as callers see them.

use std::time::Duration;

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use tonic::Status;

use crate::owner::OwnerError;
use crate::store::StoreError;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Fenced | StoreError::Conflict { .. } => Self::new(
                ErrorReason::NotOwner,
                "another process has taken the execution over; repeat the call",
            )
            .retry_after(Duration::from_secs(1)),
            StoreError::Inconsistent(what) => nexus_service::error::inconsistent(what),
            StoreError::Database(cause) => nexus_service::error::database(cause),
        }
    }
}

impl From<OwnerError> for ApiError {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::Overloaded { delay, .. } => Self::new(
                ErrorReason::Overloaded,
                format!("{error}; repeat the call in {} s", delay.as_secs()),
            )
            .retry_after(delay),
            OwnerError::Definitions(_) => {
                Self::new(ErrorReason::StorageUnavailable, error.to_string()).retry_after(Duration::from_secs(1))
            }
            OwnerError::ShuttingDown => Self::new(ErrorReason::ShuttingDown, format!("{error}; repeat the call"))
                .retry_after(Duration::from_secs(1)),
            OwnerError::NotOwner(_) => Self::new(ErrorReason::NotOwner, format!("{error}; repeat the call"))
                .retry_after(Duration::from_secs(1)),
            OwnerError::OwnerChanged => Self::new(
                ErrorReason::NotOwner,
                format!("{error}; repeat the call, with the same request_id if it has one"),
            )
            .retry_after(Duration::from_secs(1)),
            OwnerError::RequestIdReused => {
                nexus_service::idempotency::reused("for a start with other params, labels or revision")
            }
            OwnerError::NotLive(id) => Self::new(
                ErrorReason::ExecutionClosed,
                format!("execution {id} has ended already"),
            ),
            OwnerError::Store(error) => error.into(),
        }
    }
}

/// An execution that does not exist.
pub(crate) fn execution_not_found(id: &str) -> Status {
    let message = format!("there is no execution {id}; `nexus executions list` shows those that are there");
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
pub(crate) fn status(error: impl Into<ApiError>) -> Status {
    error.into().into()
}
