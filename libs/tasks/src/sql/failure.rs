//! What a driver's error means for the task.

use serde_json::json;
use sqlx::error::{DatabaseError, ErrorKind};

use crate::outcome::Failure;

/// The failure for an error while connecting.
pub(super) fn connect(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Database(database) => Failure {
            error_type: "SqlConnect".to_owned(),
            ..of_database(database.as_ref())
        },
        // A configuration error may quote the address.
        sqlx::Error::Configuration(_) => Failure::new("InvalidUrl", "the database's address cannot be read").final_(),
        other => Failure::new("SqlConnect", format!("the database cannot be reached: {other}")),
    }
}

/// The failure for an error of the statement.
pub(super) fn statement(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Database(database) => of_database(database.as_ref()),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => Failure::new(
            "SqlConnect",
            format!("the connection to the database was lost: {error}"),
        ),
        other => Failure::new("SqlError", other.to_string()),
    }
}

fn of_database(error: &dyn DatabaseError) -> Failure {
    let kind = match error.kind() {
        ErrorKind::UniqueViolation => "unique_violation",
        ErrorKind::ForeignKeyViolation => "foreign_key_violation",
        ErrorKind::NotNullViolation => "not_null_violation",
        ErrorKind::CheckViolation => "check_violation",
        _ => "other",
    };
    let details = json!({
        "sqlstate": error.code().map(|code| code.into_owned()),
        "constraint": error.constraint(),
        "table": error.table(),
        "kind": kind,
    });
    Failure::new("SqlError", error.message().to_owned()).with_details(details)
}
