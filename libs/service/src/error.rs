//! Errors of a store as callers see them: what they can do about it, and nothing of where the database is. The log has the
//! whole.

use std::time::Duration;

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use nexus_storage::ErrorKind;

/// The database failed.
#[must_use]
pub fn database(cause: &nexus_storage::Error) -> ApiError {
    tracing::error!(error = cause.report(), "the store failed");
    let reason = match cause.kind() {
        ErrorKind::Transient | ErrorKind::Full | ErrorKind::ReadOnly => ErrorReason::StorageUnavailable,
        _ => ErrorReason::Internal,
    };
    let message = format!("{}; repeat the call, and see the server's log", cause.placeless());
    ApiError::new(reason, message).retry_after(Duration::from_secs(1))
}

/// What is stored does not fit together.
#[must_use]
pub fn inconsistent(what: &str) -> ApiError {
    tracing::error!(what, "the store is inconsistent");
    let message = "the store is inconsistent; the server's log has the details";
    ApiError::new(ErrorReason::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_hear_whether_to_repeat_and_not_where_the_database_is() {
        let away = nexus_storage::Error::timed_out().at(&"executions at db.internal:5432".into());
        let told = database(&away);
        assert_eq!(told.reason(), ErrorReason::StorageUnavailable);
        assert!(!told.to_string().contains("db.internal"), "{told}");
        assert_eq!(inconsistent("a row without its task").reason(), ErrorReason::Internal);
    }
}
