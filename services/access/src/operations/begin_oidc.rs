//! Begins a login by the OpenID provider.

use std::sync::Arc;

use nexus_api::ErrorReason;
use nexus_api::access::v1::{BeginOidcLoginRequest, BeginOidcLoginResponse};
use nexus_api::error::ApiError;
use tonic::Status;

use crate::Context;
use crate::error::{About, about, of_provider, randomness};
use crate::lockout::MINUTE;
use crate::oidc::settings::Client;
use crate::oidc::{Provider, Ticket, address_of};
use crate::store::OidcLogin;
use crate::tokens::{self, Digest, Secret};

/// How long it is good for.
const LIFETIME: i64 = 10 * MINUTE;

pub(crate) async fn begin(context: &Context, request: BeginOidcLoginRequest) -> Result<BeginOidcLoginResponse, Status> {
    let (provider, client) = provider(context)?;
    let redirect_uri = &request.redirect_uri;
    if !client.may_return_to(redirect_uri) {
        let problem = "must be one of oidc.redirect_uris, or http://127.0.0.1:<port>/callback or \
                       http://[::1]:<port>/callback";
        return Err(ApiError::field("redirect_uri", problem).into());
    }
    let make = || tokens::secret(&context.random).map_err(randomness);
    let (state, nonce, verifier) = (make()?, make()?, make()?);
    let ticket = Ticket {
        state: &state,
        nonce: &nonce,
        verifier: &verifier,
        redirect_uri,
    };
    let authorization_url = address_of(&provider, client, ticket).await.map_err(of_provider)?;
    let now = (context.clock)();
    let login = OidcLogin {
        state: Digest::of(&state),
        nonce: Digest::of(&nonce),
        verifier: Secret::new(verifier),
        redirect_uri: redirect_uri.clone(),
        expires_at: now.saturating_add(LIFETIME),
    };
    context
        .store
        .begin_login(&login, now)
        .await
        .map_err(about(About::Logins))?;
    Ok(BeginOidcLoginResponse {
        authorization_url,
        state,
    })
}

/// The provider that people log in by, where there is one.
pub(super) fn provider(context: &Context) -> Result<(Arc<Provider>, &Client), ApiError> {
    let provider = context.provider.as_ref();
    let found = provider.and_then(|provider| Some((Arc::clone(provider), provider.settings.client.as_ref()?)));
    found.ok_or_else(|| {
        let message = "nobody logs in by an OpenID provider here; ListLoginMethods says how people do";
        ApiError::new(ErrorReason::LoginRefused, message)
    })
}
