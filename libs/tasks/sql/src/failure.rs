//! What a driver's error means for the task: has the statement run, and may it be run again?

use serde_json::json;
use sqlx::error::{DatabaseError, ErrorKind};

use nexus_attempt::Failure;

/// What a failure says when the statement has taken effect all the same.
const HAS_RUN: &str = "the statement has run, so it is not run again";

/// The failure for an error while connecting. Nothing has run.
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

/// The failure for an error before the statement runs.
pub(super) fn before(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Database(database) => of_database(database.as_ref()),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => Failure::new(
            "SqlConnect",
            format!("the connection to the database was lost before the statement ran: {error}"),
        ),
        other => Failure::new("SqlError", other.to_string()),
    }
}

/// The failure for an error while the statement runs. What the server refuses it has rolled back; after anything else
/// the statement may have taken effect, and one that may write is not run again.
pub(super) fn during(error: &sqlx::Error, reads: bool) -> Failure {
    let problem = match error {
        sqlx::Error::Database(database) if !is_shutdown(database.as_ref()) => return of_database(database.as_ref()),
        sqlx::Error::Database(database) => database.message().to_owned(),
        other => other.to_string(),
    };
    let lost = format!("the connection to the database was lost while the statement ran: {problem}");
    if reads {
        return Failure::new("SqlConnect", lost);
    }
    let message = format!("{lost}; it may have taken effect, so it is not run again");
    Failure::new("SqlConnect", message).final_()
}

/// The failure for an answer that cannot be given although the statement has run to its end.
pub(super) fn after(failure: Failure, reads: bool) -> Failure {
    if reads {
        return failure.final_();
    }
    Failure {
        message: format!("{}; {HAS_RUN}", failure.message),
        ..failure
    }
    .final_()
}

/// The server ends, or ends this connection: it says so at any moment, also after a commit. Postgres: 57P01 to 57P05
/// and class 08.
fn is_shutdown(error: &dyn DatabaseError) -> bool {
    error
        .code()
        .is_some_and(|code| code.starts_with("57P0") || code.starts_with("08"))
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
