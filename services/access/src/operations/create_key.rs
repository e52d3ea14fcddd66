//! Creates an API key.

use nexus_api::ErrorReason;
use nexus_api::access::v1::{CreateApiKeyRequest, CreateApiKeyResponse};
use nexus_api::error::ApiError;
use nexus_api::method::Permission;
use nexus_api::time::micros;
use tonic::Status;

use super::find_user;
use crate::caller::Caller;
use crate::error::{About, about, randomness, storage};
use crate::identify::roles_of;
use crate::powers::{EVERYWHERE, Powers};
use crate::store::{KeyRow, UserRow};
use crate::tokens::{self, Kind};
use crate::{Context, convert, rules};

pub(crate) async fn create(
    context: &Context,
    caller: &Caller,
    request: CreateApiKeyRequest,
) -> Result<CreateApiKeyResponse, Status> {
    rules::text("description", &request.description)?;
    rules::queues(&request.queues)?;
    let lifetime = rules::lifetime(request.lifetime.as_ref())?;
    if request.grants.is_empty() {
        return Err(ApiError::field(
            "grants",
            "must name at least one role: a key without any may do nothing",
        )
        .into());
    }
    let grants = rules::grants(request.grants)?;
    let user = owner(context, caller, &request.user).await?;

    let roles = roles_of(&*context.store, grants.iter().chain(&user.grants))
        .await
        .map_err(storage)?;
    let wanted = Powers::of_grants(&grants, &roles);
    caller.require_all_of(&wanted, "nobody gives a key more than they have")?;
    check_worth(&wanted, &Powers::of_grants(&user.grants, &roles), &user)?;
    check_queues(caller, &request.queues)?;
    let now = (context.clock)();
    let expires_at = lifetime.map(|lifetime| now.saturating_add(lifetime));
    check_end(caller, expires_at)?;

    let issued = tokens::issue(Kind::Key, now, &context.random).map_err(randomness)?;
    let key = KeyRow {
        id: issued.id,
        digest: issued.digest,
        description: request.description,
        user: user.name.clone(),
        grants,
        queues: request.queues,
        created_at: now,
        creator: caller.identity().subject.clone(),
        expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    let created = context.telling("api_key", &key.id).create_key(&key).await;
    created.map_err(about(About::User(&user.name)))?;
    Ok(CreateApiKeyResponse {
        api_key: Some(convert::key(key)),
        secret: issued.token.expose().to_owned(),
    })
}

/// Whose it is to be.
async fn owner(context: &Context, caller: &Caller, asked: &str) -> Result<UserRow, Status> {
    let own = caller.user();
    let name = match (asked, own) {
        ("", Some(own)) => own,
        ("", None) => return Err(ApiError::field("user", "must name whose it is to be: you are no user").into()),
        (asked, _) => asked,
    };
    if own != Some(name) {
        caller.require(Permission::AccessWrite)?;
    }
    find_user(context, name).await
}

/// A key is worth no more than its user: one that would not be worth what is asked for is not made.
fn check_worth(wanted: &Powers, users: &Powers, user: &UserRow) -> Result<(), ApiError> {
    let Some((permission, namespace)) = wanted.beyond(users) else {
        return Ok(());
    };
    let (name, permission) = (&user.name, permission.name());
    let place = match namespace {
        EVERYWHERE => "every namespace".to_owned(),
        named => format!("the namespace {named}"),
    };
    let message = format!(
        "a key is worth no more than its user, and {name} has not {permission} in {place} by their own roles (those that \
         a provider's groups give hold for sessions only); give {name} the role first"
    );
    let error = ApiError::new(ErrorReason::PermissionMissing, message);
    Err(error.with("permission", permission).with("namespace", namespace))
}

/// A key makes none that outlives it: else the short life of one would be worth nothing.
fn check_end(caller: &Caller, expires_at: Option<i64>) -> Result<(), ApiError> {
    let Some(end) = caller.key().and_then(|_| caller.identity().expire_time) else {
        return Ok(());
    };
    if expires_at.is_some_and(|expires_at| expires_at <= micros(&end)) {
        return Ok(());
    }
    let problem = format!("must be given, and end no later than your own key does, at {end}");
    Err(ApiError::field("lifetime", problem))
}

/// Whoever may take tasks from some queues gives a key no others.
fn check_queues(caller: &Caller, queues: &[String]) -> Result<(), ApiError> {
    let own = &caller.identity().queues;
    if own.is_empty() || (!queues.is_empty() && queues.iter().all(|queue| own.contains(queue))) {
        return Ok(());
    }
    Err(ApiError::field(
        "queues",
        format!("your own credential has only {}", own.join(", ")),
    ))
}
