//! The service's errors as callers see them.

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use nexus_schedule::SpecError;
use tonic::Status;

use crate::store::StoreError;

pub(crate) fn storage(error: StoreError) -> Status {
    let told = match &error {
        StoreError::Inconsistent(what) => nexus_service::error::inconsistent(what),
        StoreError::Database(cause) => nexus_service::error::database(cause),
    };
    told.into()
}

pub(crate) fn not_found(name: &str) -> Status {
    let shown: String = name.chars().take(128).collect();
    let message = format!("there is no schedule {shown:?}; the list of schedules has those that are there");
    ApiError::new(ErrorReason::ScheduleNotFound, message)
        .with("schedule", shown)
        .into()
}

pub(crate) fn exists(name: &str) -> Status {
    let message = format!("schedule {name} exists already; update it, or choose another name");
    ApiError::new(ErrorReason::ScheduleExists, message)
        .with("schedule", name)
        .into()
}

pub(crate) fn backfill_not_found(id: &str) -> Status {
    let shown: String = id.chars().take(64).collect();
    let message = format!("there is no backfill {shown:?}; the list of backfills has those that are there");
    ApiError::new(ErrorReason::BackfillNotFound, message).into()
}

pub(crate) fn etag_mismatch(name: &str) -> Status {
    let message =
        format!("schedule {name} was changed by somebody else meanwhile; read it again and repeat the change");
    ApiError::new(ErrorReason::EtagMismatch, message)
        .violation("etag", "is not the current one")
        .into()
}

/// A specification that cannot be used. Of a cron expression the field and the character are told.
pub(crate) fn invalid_spec(error: &SpecError) -> ApiError {
    let told = ApiError::new(ErrorReason::InvalidSchedule, error.to_string());
    match error {
        SpecError::Cron(cron) => {
            let field = cron.field.map_or("", |field| field.name());
            told.violation("spec.crons", error.to_string())
                .with("expression", cron.expression.clone())
                .with("position", cron.position.to_string())
                .with("field", field)
        }
        SpecError::Zone(_) => told.violation("spec.timezone", error.to_string()),
        SpecError::Field { field, problem } => told.violation(format!("spec.{field}"), problem.clone()),
        SpecError::Empty | SpecError::Never { .. } => told.violation("spec", error.to_string()),
    }
}
