//! Says whose a credential is.

use nexus_api::access::v1::{AuthenticateRequest, AuthenticateResponse, Identity};
use nexus_api::error::ApiError;
use nexus_api::time::{duration, micros, timestamp};
use tonic::Status;

use super::complete_oidc::subject_at;
use crate::caller::Caller;
use crate::error::{credential, of_provider, storage};
use crate::oidc::Provider;
use crate::store::{KeyRow, SessionRow, UserRow};
use crate::tokens::{self, Digest, Kind};
use crate::{Context, identify, metrics};

/// Bytes of a credential at most.
const MAX_CREDENTIAL: usize = 8 << 10;
/// How long an answer may be gone by at most: what is revoked is over everywhere within it, and within the time that a
/// call takes.
const KEEP: i64 = 30_000_000;

pub(crate) async fn authenticate(
    context: &Context,
    request: AuthenticateRequest,
) -> Result<AuthenticateResponse, Status> {
    let shown = &request.credential;
    if shown.is_empty() || shown.len() > MAX_CREDENTIAL {
        return Err(ApiError::field("credential", format!("must have 1 to {MAX_CREDENTIAL} bytes")).into());
    }
    let (kind, found) = match tokens::read(shown) {
        Some((Kind::Key, id, digest)) => ("key", of_key(context, id, &digest).await),
        Some((Kind::Session, id, digest)) => ("session", of_session(context, id, &digest).await),
        None => match context
            .provider
            .as_ref()
            .and_then(|provider| Some((provider, provider.settings.audience.as_ref()?)))
        {
            Some((provider, audience)) if is_jwt(shown) => {
                ("token", of_token(context, provider, audience, shown).await)
            }
            _ => ("other", Err(unknown())),
        },
    };
    let outcome = match &found {
        Ok(_) => "done",
        Err(status) if status.code() == tonic::Code::Unauthenticated => "refused",
        Err(_) => "failed",
    };
    metrics::authentication(kind, outcome);
    let identity = found?;
    let left = identity
        .expire_time
        .as_ref()
        .map(|end| micros(end).saturating_sub((context.clock)()));
    Ok(AuthenticateResponse {
        keep_for: Some(duration(left.unwrap_or(KEEP).clamp(0, KEEP))),
        identity: Some(identity),
    })
}

fn unknown() -> Status {
    credential("this is no credential of this NEXUS").into()
}

fn ended(what: &str) -> Status {
    credential(what).into()
}

async fn of_key(context: &Context, id: &str, digest: &Digest) -> Result<Identity, Status> {
    let key = context.store.key(id).await.map_err(storage)?;
    let key = key.filter(|key| key.digest.matches(digest)).ok_or_else(unknown)?;
    let identity = of_key_row(context, &key).await?;
    context.uses.note(Kind::Key, id, key.last_used_at, (context.clock)());
    Ok(identity)
}

async fn of_key_row(context: &Context, key: &KeyRow) -> Result<Identity, Status> {
    let now = (context.clock)();
    if key.revoked_at.is_some() {
        return Err(ended("this API key was revoked"));
    }
    if key.expires_at.is_some_and(|end| end <= now) {
        return Err(ended("this API key has ended; create another one"));
    }
    let user = living(context, &key.user).await?;
    identify::of_key(&*context.store, key, &user).await.map_err(storage)
}

async fn of_session(context: &Context, id: &str, digest: &Digest) -> Result<Identity, Status> {
    let session = context.store.session(id).await.map_err(storage)?;
    let session = session
        .filter(|session| session.digest.matches(digest))
        .ok_or_else(unknown)?;
    let identity = of_session_row(context, &session).await?;
    context
        .uses
        .note(Kind::Session, id, Some(session.last_used_at), (context.clock)());
    Ok(identity)
}

async fn of_session_row(context: &Context, session: &SessionRow) -> Result<Identity, Status> {
    if session.expires_at <= (context.clock)() {
        return Err(ended("this session is over; log in again"));
    }
    let user = living(context, &session.user).await?;
    identify::of_session(&*context.store, session, &user)
        .await
        .map_err(storage)
}

/// Who calls as the store knows them at this moment, for what lasts: a door goes by an answer that may be half a minute old,
/// and whoever was disabled or logged out in between must not give themselves another credential.
pub(crate) async fn anew(context: &Context, caller: Caller) -> Result<Caller, Status> {
    let store = &context.store;
    let identity = match (caller.key(), caller.session()) {
        (Some(id), _) => {
            let key = store.key(id).await.map_err(storage)?.ok_or_else(unknown)?;
            of_key_row(context, &key).await?
        }
        (None, Some(id)) => {
            let session = store.session(id).await.map_err(storage)?.ok_or_else(unknown)?;
            of_session_row(context, &session).await?
        }
        (None, None) => {
            // A token of the provider says itself how long it is good; its user may be none any more.
            if let Some(user) = caller.user() {
                living(context, user).await?;
            }
            return Ok(caller);
        }
    };
    Ok(Caller::new(identity))
}

/// Whether it has the three parts of a signed JWT.
fn is_jwt(shown: &str) -> bool {
    shown.matches('.').count() == 2
}

/// Whose a token of the provider is: the user's who came by it, with what the groups in it give, or else a program's, which
/// has nothing but that.
async fn of_token(context: &Context, provider: &Provider, audience: &str, token: &str) -> Result<Identity, Status> {
    let claims = provider.verify(token, audience).await.map_err(of_provider)?;
    let mut grants = provider.settings.grants_of(&claims.all);
    let subject = subject_at(provider, &claims);
    let user = context.store.user_of_subject(&subject).await.map_err(storage)?;
    if user.as_ref().is_some_and(|user| user.disabled) {
        return Err(ended("the user of this credential is disabled"));
    }
    grants.extend(user.iter().flat_map(|user| user.grants.iter().cloned()));
    let powers = identify::powers_of(&*context.store, &grants).await.map_err(storage)?;
    let identity = match &user {
        Some(user) => identify::of_user(user, &powers),
        None => identify::of_program(&claims.subject, &powers),
    };
    Ok(Identity {
        credential: identify::of_token(claims.text("jti"), token),
        expire_time: Some(timestamp(claims.ends_at)),
        ..identity
    })
}

/// The user of a credential, who is there and not disabled.
async fn living(context: &Context, name: &str) -> Result<UserRow, Status> {
    let user = context.store.user(name).await.map_err(storage)?;
    let user = user.ok_or_else(unknown)?;
    if user.disabled {
        return Err(ended("the user of this credential is disabled"));
    }
    Ok(user)
}
