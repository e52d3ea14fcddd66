//! Ends a login by the OpenID provider and begins a session.

use nexus_api::access::v1::{CompleteOidcLoginRequest, CompleteOidcLoginResponse};
use nexus_api::error::ApiError;
use tonic::Status;

use super::begin_oidc::provider;
use crate::enter::{self, Begun, From};
use crate::error::{About, about, login_ended, of_provider, storage};
use crate::oidc::{Claims, Provider, redeem};
use crate::store::{Method, NewUser, Refused, StoreError, UserKind};
use crate::tokens::Digest;
use crate::{Context, metrics, rules};

/// Bytes of a state and of a code at most.
const MAX_STATE: usize = 512;
const MAX_CODE: usize = 4_096;

pub(crate) async fn complete(
    context: &Context,
    from: From,
    request: CompleteOidcLoginRequest,
) -> Result<CompleteOidcLoginResponse, Status> {
    rules::text("client", &from.client)?;
    for (field, text, most) in [("state", &request.state, MAX_STATE), ("code", &request.code, MAX_CODE)] {
        if text.is_empty() || text.len() > most {
            return Err(ApiError::field(field, format!("must have 1 to {most} bytes")).into());
        }
    }
    let begun = Box::pin(finish(context, from, &request)).await;
    metrics::login("oidc", if begun.is_ok() { "done" } else { "refused" });
    let begun = begun?;
    Ok(CompleteOidcLoginResponse {
        token: begun.token,
        session: Some(begun.session),
        identity: Some(begun.identity),
    })
}

async fn finish(context: &Context, from: From, request: &CompleteOidcLoginRequest) -> Result<Begun, Status> {
    let (provider, client) = provider(context)?;
    let now = (context.clock)();
    // Taken before anything else: whatever becomes of it, it is used.
    let login = context.store.take_login(&Digest::of(&request.state), now).await;
    let login = login
        .map_err(storage)?
        .ok_or_else(|| login_ended("this login has ended, was used, or never begun"))?;
    let verifier = login.verifier.expose();
    let claims = redeem(&provider, client, &request.code, verifier, &login.redirect_uri)
        .await
        .map_err(of_provider)?;
    let nonce = Digest::of(claims.text("nonce").unwrap_or_default());
    if !nonce.matches(&login.nonce) {
        return Err(login_ended("the provider's token belongs to another login").into());
    }
    let user = comer(&claims, now)?;
    let subject = subject_at(&provider, &claims);
    let welcomed = context
        .telling_as(&user, "user", &user.name)
        .welcome(&user, &subject)
        .await
        .map_err(|error| match error {
            StoreError::Refused(Refused::Exists) => taken(&user.name),
            other => about(About::User(&user.name))(other),
        })?;
    if welcomed.disabled {
        return Err(login_ended(&format!("the user {} is disabled", welcomed.name)).into());
    }
    let grants = provider.settings.grants_of(&claims.all);
    enter::begin(context, &welcomed, Method::Oidc, grants, &from).await
}

/// Who somebody is at the provider, as it is kept: no issuer has a line break in it.
pub(super) fn subject_at(provider: &Provider, claims: &Claims) -> String {
    format!("{}\n{}", provider.settings.issuer, claims.subject)
}

fn taken(name: &str) -> Status {
    let why = format!("the name {name} is somebody else's here; an administrator renames or deletes one of the two");
    login_ended(&why).into()
}

/// The user that somebody becomes who comes for the first time.
fn comer(claims: &Claims, at: i64) -> Result<NewUser, ApiError> {
    let verified = claims.all.get("email_verified") == Some(&true.into());
    let email = claims.text("email").filter(|_| verified);
    let names = [claims.text("preferred_username"), email, Some(claims.subject.as_str())];
    let mut names = names.into_iter().flatten().map(str::to_lowercase);
    let name = names.find(|name| rules::is_user_name(name)).ok_or_else(|| {
        login_ended("the provider says no name that a user can have: preferred_username, a verified email, or sub")
    })?;
    let shown = claims.text("name").unwrap_or_default().chars();
    Ok(NewUser {
        name,
        display_name: shown.filter(|char| !char.is_control()).take(rules::MAX_TEXT).collect(),
        kind: UserKind::Person,
        grants: Vec::new(),
        password: None,
        subject: None,
        at,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(claims: serde_json::Value) -> Option<String> {
        let all = claims.as_object().expect("an object").clone();
        let subject = claims["sub"].as_str().unwrap_or_default().to_owned();
        let claims = Claims {
            subject,
            ends_at: 0,
            all,
        };
        comer(&claims, 7).ok().map(|user| user.name)
    }

    #[test]
    fn somebody_is_called_as_at_the_provider_and_by_no_address_that_it_has_not_verified() {
        let email = "Anna@Example.com";
        for (claims, name) in [
            (
                json!({"sub": "1", "preferred_username": "Anna.B", "email": email}),
                Some("anna.b"),
            ),
            (
                json!({"sub": "1", "email": email, "email_verified": true}),
                Some("anna@example.com"),
            ),
            (json!({"sub": "1", "email": email, "email_verified": false}), Some("1")),
            (json!({"sub": "1", "email": email, "email_verified": "true"}), Some("1")),
            (json!({"sub": "1", "email": email}), Some("1")),
            (json!({"sub": "auth0|1", "preferred_username": "a b"}), None),
        ] {
            assert_eq!(named(claims.clone()).as_deref(), name, "{claims}");
        }
    }
}
