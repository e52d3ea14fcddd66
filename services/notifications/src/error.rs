//! The service's errors as callers see them.

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use tonic::Status;

use crate::store::{Kind, StoreError};

pub(crate) fn storage(error: StoreError) -> Status {
    let told = match &error {
        StoreError::Inconsistent(what) => nexus_service::error::inconsistent(what),
        StoreError::Unstorable { field } => ApiError::field(field, "must not hold NUL characters"),
        StoreError::Database(cause) => nexus_service::error::database(cause),
    };
    told.into()
}

/// A field that is wrong, and each further one.
pub(crate) fn fields(found: &[(String, String)]) -> Result<(), ApiError> {
    let Some((field, problem)) = found.first() else {
        return Ok(());
    };
    let more = match found.len() {
        1 => String::new(),
        more => format!(" (and {} more)", more - 1),
    };
    let message = format!("{field}: {problem}{more}");
    let error = ApiError::new(ErrorReason::InvalidField, message);
    Err(found
        .iter()
        .fold(error, |error, (field, problem)| error.violation(field, problem)))
}

pub(crate) fn not_found(kind: Kind, name: &str) -> Status {
    let (reason, word) = match kind {
        Kind::Channel => (ErrorReason::ChannelNotFound, "channel"),
        Kind::Rule => (ErrorReason::RuleNotFound, "rule"),
    };
    let message =
        format!("there is no {word} {name:?} in this namespace; the list of {word}s has those that are there");
    ApiError::new(reason, message).with(word, name).into()
}

pub(crate) fn exists(kind: Kind, name: &str) -> Status {
    let (reason, word) = match kind {
        Kind::Channel => (ErrorReason::ChannelExists, "channel"),
        Kind::Rule => (ErrorReason::RuleExists, "rule"),
    };
    let message = format!("there is a {word} {name} already; change it, or choose another name");
    ApiError::new(reason, message).with(word, name).into()
}

pub(crate) fn too_many(word: &str, most: i64) -> Status {
    let message = format!("the namespace has {most} {word}s, and there may be no more; delete one that nobody needs");
    ApiError::new(ErrorReason::TooMany, message).into()
}

pub(crate) fn etag_mismatch(word: &str, name: &str) -> Status {
    let message =
        format!("the {word} {name} was changed by somebody else meanwhile; read it again and repeat the change");
    ApiError::new(ErrorReason::EtagMismatch, message)
        .violation("etag", "is not the current one")
        .into()
}

pub(crate) fn delivery_not_found(id: &str) -> Status {
    let message = format!("there is no delivery {id:?} in this namespace; the list has those that are kept");
    ApiError::new(ErrorReason::DeliveryNotFound, message)
        .with("delivery", id)
        .into()
}
