//! The service's errors as callers see them.

use std::time::Duration;

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use tonic::Status;

use crate::oidc::ProviderError;
use crate::store::{Refused, StoreError};

/// What a call is about, for its errors.
#[derive(Debug, Clone, Copy)]
pub(crate) enum About<'a> {
    User(&'a str),
    Role(&'a str),
    Key(&'a str),
    Session(&'a str),
    Logins,
    Call,
}

/// The store did not do it.
pub(crate) fn storage(error: StoreError) -> Status {
    told(error, About::Logins).into()
}

/// The store did not do it to something.
pub(crate) fn about(about: About<'_>) -> impl FnOnce(StoreError) -> Status {
    move |error| told(error, about).into()
}

fn told(error: StoreError, about: About<'_>) -> ApiError {
    match error {
        StoreError::Refused(refused) => of_refusal(&refused, about),
        StoreError::Inconsistent(what) => nexus_service::error::inconsistent(&what),
        StoreError::Database(cause) => nexus_service::error::database(&cause),
    }
}

fn of_refusal(refused: &Refused, about: About<'_>) -> ApiError {
    match refused {
        Refused::Absent => not_found(about),
        Refused::Exists => exists(about),
        Refused::Changed => ApiError::new(
            ErrorReason::EtagMismatch,
            "it was changed by somebody else meanwhile; read it again and repeat the change",
        )
        .violation("etag", "is not the current one"),
        Refused::UnknownRole(role) => {
            let problem = format!("there is no role {role:?}; ListRoles shows those that are there");
            ApiError::field("grants", problem).with("role", role)
        }
        Refused::InUse => ApiError::new(
            ErrorReason::RoleInUse,
            "a user or an API key has the role; take it from them first",
        ),
        Refused::LastAdministrator => ApiError::new(
            ErrorReason::LastAdministrator,
            "nobody else has `admin` in every namespace; give it to somebody else first",
        ),
        Refused::Full(count) => full(about, *count),
        Refused::WrongToken => wrong_claim(),
    }
}

/// There is none of that name or id.
pub(crate) fn not_found(about: About<'_>) -> ApiError {
    let (reason, kind, name) = match about {
        About::User(name) => (ErrorReason::UserNotFound, "user", name),
        About::Role(name) => (ErrorReason::RoleNotFound, "role", name),
        About::Key(id) => (ErrorReason::ApiKeyNotFound, "API key", id),
        About::Session(id) => (ErrorReason::SessionNotFound, "session", id),
        About::Logins | About::Call => return login_refused(),
    };
    // What is quoted has an end.
    let name: String = name.chars().take(128).collect();
    ApiError::new(reason, format!("there is no {kind} {name:?}")).with("name", name)
}

fn exists(about: About<'_>) -> ApiError {
    match about {
        About::Role(name) => {
            ApiError::new(ErrorReason::RoleExists, format!("there is a role {name} already")).with("role", name)
        }
        About::User(name) => {
            ApiError::new(ErrorReason::UserExists, format!("there is a user {name} already")).with("user", name)
        }
        _ => ApiError::new(ErrorReason::UserExists, "there is one already"),
    }
}

fn full(about: About<'_>, count: i64) -> ApiError {
    match about {
        About::Logins => ApiError::new(
            ErrorReason::TooMany,
            "too many logins are under way; try again in a while",
        )
        .retry_after(Duration::from_secs(30)),
        About::Call => ApiError::new(
            ErrorReason::TooMany,
            format!(
                "{count} calls of yours with an Idempotency-Key are remembered, each for a day; leave the header out"
            ),
        ),
        _ => ApiError::new(
            ErrorReason::TooMany,
            format!("there are {count} of them, as many as there may be; delete or revoke some first"),
        ),
    }
}

/// A role that is built in is not changed.
pub(crate) fn built_in(name: &str) -> ApiError {
    let message = format!("the role {name} is built in and stays as it is; create one of your own");
    ApiError::new(ErrorReason::RoleInUse, message).with("role", name)
}

/// The name or the password is wrong: which of them is nobody's business.
pub(crate) fn login_refused() -> ApiError {
    ApiError::new(ErrorReason::LoginRefused, "the name or the password is wrong")
}

/// Too many were wrong.
pub(crate) fn locked(wait: Duration) -> ApiError {
    let message = format!(
        "logging in is refused for {} more seconds, after too many wrong passwords",
        wait.as_secs().max(1)
    );
    ApiError::new(ErrorReason::LoginRefused, message).retry_after(wait)
}

/// The token of the first administrator is not the one.
pub(crate) fn wrong_claim() -> ApiError {
    ApiError::new(
        ErrorReason::CredentialInvalid,
        "this is not the token, or it was used: the last start of the role access printed the one that works, if there is \
         no administrator yet",
    )
}

/// A credential is worth nothing.
pub(crate) fn credential(why: &str) -> ApiError {
    ApiError::new(ErrorReason::CredentialInvalid, why)
}

/// A token of the provider proves nothing, or the provider cannot be asked.
pub(crate) fn of_provider(error: ProviderError) -> Status {
    let told = match error {
        ProviderError::Away => away(),
        ProviderError::Token(why) => credential(&format!("this token is of no use: {why}")),
        ProviderError::Code(_) => login_ended(&error.to_string()),
    };
    told.into()
}

/// A login by the provider comes to nothing.
pub(crate) fn login_ended(why: &str) -> ApiError {
    ApiError::new(ErrorReason::LoginRefused, format!("{why}; begin the login again"))
}

/// The provider cannot be asked.
pub(crate) fn away() -> ApiError {
    let message = "the OpenID provider cannot be asked at present; repeat the call, and see the server's log";
    ApiError::new(ErrorReason::AccessUnavailable, message).retry_after(Duration::from_secs(5))
}

/// There are no random numbers.
pub(crate) fn randomness(error: crate::tokens::NoRandomness) -> Status {
    tracing::error!(%error, "no secret can be made");
    ApiError::new(ErrorReason::Internal, "no secret can be made; see the server's log").into()
}
