//! Errors about secrets as callers see them. None holds a value.

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use tonic::Status;

use super::keys::KeyError;
use super::sealing::SealError;
use crate::store::secrets::Torn;

pub(super) fn not_found(name: &str) -> Status {
    let message =
        format!("NEXUS keeps no secret {name} in this namespace; the list of secrets shows those that it keeps");
    ApiError::new(ErrorReason::SecretNotFound, message)
        .with("secret", name)
        .into()
}

pub(super) fn version_not_found(name: &str, version: u32) -> Status {
    let message = format!("version {version} of the secret {name} is not kept; its newest ones are");
    ApiError::new(ErrorReason::SecretNotFound, message)
        .with("secret", name)
        .with("version", version.to_string())
        .into()
}

pub(super) fn key(error: &KeyError) -> Status {
    let reason = match error {
        KeyError::None | KeyError::Missing(_) => ErrorReason::SecretKeyMissing,
        KeyError::Damaged(_) => ErrorReason::SecretDamaged,
        KeyError::Away(_) => ErrorReason::StorageUnavailable,
    };
    let told = ApiError::new(reason, error.to_string());
    match error {
        KeyError::Missing(key) => told.with("key", key).into(),
        _ => told.into(),
    }
}

pub(super) fn seal(error: &SealError) -> Status {
    match error {
        SealError::Key(error) => key(error),
        SealError::Damaged { name, .. } => damaged(name, &error.to_string()),
    }
}

pub(super) fn torn(error: &Torn) -> Status {
    damaged(&error.0, &error.to_string())
}

fn damaged(name: &str, what: &str) -> Status {
    tracing::error!(
        secret = name,
        what,
        "a secret was changed in the database, by something else than this service"
    );
    let message = format!("{what}: somebody changed the database; set the secret {name} again");
    ApiError::new(ErrorReason::SecretDamaged, message)
        .with("secret", name)
        .into()
}
