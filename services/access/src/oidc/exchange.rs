//! The authorization code flow with PKCE: the address at which a person agrees, and the token that their code is good for.
//! The requests are put together by the crate `oauth2`.

use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::provider::{Description, Provider, ProviderError};
use super::settings::Client;
use super::verify::{Claims, TokenError};

/// Ways in which a client shows its secret.
const BASIC: &str = "client_secret_basic";
const POST: &str = "client_secret_post";
/// The claim that says what somebody is called.
const NAME: &str = "preferred_username";

/// What an OpenID provider adds to OAuth's answer.
#[derive(Deserialize, Serialize)]
struct IdToken {
    id_token: Option<String>,
}

// Derived, it would show the token.
impl std::fmt::Debug for IdToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdToken")
    }
}

impl ExtraTokenFields for IdToken {}

type Oauth = oauth2::Client<
    BasicErrorResponse,
    StandardTokenResponse<IdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What belongs to one login: what goes out with it, and has to fit what comes back.
#[derive(Clone, Copy)]
pub(crate) struct Ticket<'a> {
    /// Goes through the browser and comes back with the code.
    pub(crate) state: &'a str,
    /// Stands in the token.
    pub(crate) nonce: &'a str,
    /// Shown with the code, and only its digest before.
    pub(crate) verifier: &'a str,
    /// Where the person comes back to.
    pub(crate) redirect_uri: &'a str,
}

fn oauth(client: &Client, description: &Description, redirect_uri: &str) -> Result<Oauth, ProviderError> {
    // They were looked at when they were read.
    let away = |_| ProviderError::Away;
    let methods = &description.token_endpoint_auth_methods_supported;
    let posts = methods.iter().any(|method| method == POST) && !methods.iter().any(|method| method == BASIC);
    let mut oauth = oauth2::Client::new(ClientId::new(client.id.clone()))
        .set_auth_uri(AuthUrl::new(description.authorization_endpoint.clone()).map_err(away)?)
        .set_token_uri(TokenUrl::new(description.token_endpoint.clone()).map_err(away)?)
        .set_redirect_uri(RedirectUrl::new(redirect_uri.to_owned()).map_err(away)?)
        .set_auth_type(if posts {
            AuthType::RequestBody
        } else {
            AuthType::BasicAuth
        });
    if let Some(secret) = &client.secret {
        oauth = oauth.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
    }
    Ok(oauth)
}

/// The provider's page at which the person agrees.
pub(crate) async fn address_of(
    provider: &Provider,
    client: &Client,
    ticket: Ticket<'_>,
) -> Result<String, ProviderError> {
    let description = provider.description().await?;
    let oauth = oauth(client, &description, ticket.redirect_uri)?;
    let verifier = PkceCodeVerifier::new(ticket.verifier.to_owned());
    let state = ticket.state.to_owned();
    let groups = provider.settings.groups_scope(&description.scopes_supported);
    let scopes = ["openid", "profile", "email"].into_iter().chain(groups);
    let (url, _) = oauth
        .authorize_url(|| CsrfToken::new(state))
        .add_scopes(scopes.map(|scope| Scope::new(scope.to_owned())))
        .add_extra_param("nonce", ticket.nonce)
        .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
        .url();
    Ok(url.into())
}

/// Who has come back with a code. Whether the token's nonce is the one of this login the caller looks at.
pub(crate) async fn redeem(
    provider: &Provider,
    client: &Client,
    code: &str,
    verifier: &str,
    redirect_uri: &str,
) -> Result<Claims, ProviderError> {
    let description = provider.description().await?;
    let oauth = oauth(client, &description, redirect_uri)?;
    let answer = oauth
        .exchange_code(AuthorizationCode::new(code.to_owned()))
        .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()))
        .request_async(&provider.http)
        .await;
    let answer = answer.map_err(|error| match error {
        RequestTokenError::ServerResponse(refused) => {
            let said = refused.error().to_string();
            ProviderError::Code(said.chars().take(100).collect())
        }
        other => {
            // Without what was answered, which may hold a token.
            tracing::warn!(error = %other, "a code cannot be redeemed");
            ProviderError::Away
        }
    })?;
    let token = answer.extra_fields().id_token.as_deref().ok_or(TokenError::Form)?;
    let claims = provider.verify(token, &client.id).await?;
    check_party(&claims, client)?;
    completed(provider, &description, answer.access_token().secret(), claims).await
}

/// A token for several is for who asked for it.
fn check_party(claims: &Claims, client: &Client) -> Result<(), TokenError> {
    let audiences = claims.all.get("aud").and_then(|aud| aud.as_array());
    let several = audiences.is_some_and(|audiences| audiences.len() > 1);
    match claims.text("azp") {
        Some(party) if party != client.id => Err(TokenError::Audience),
        None if several => Err(TokenError::Audience),
        _ => Ok(()),
    }
}

/// Providers that keep to the letter say names and groups at another place only, to who shows the access token (OpenID Connect
/// Core 1.0, 5.4). Of what is told there nothing replaces what the token says, which is signed.
async fn completed(
    provider: &Provider,
    description: &Description,
    access_token: &str,
    mut claims: Claims,
) -> Result<Claims, ProviderError> {
    let groups = provider.settings.groups_claim.as_str();
    let lacks = |name: &str| !claims.all.contains_key(name);
    let Some(endpoint) = description
        .userinfo_endpoint
        .as_ref()
        .filter(|_| lacks(groups) || lacks(NAME))
    else {
        return Ok(claims);
    };
    let told = provider
        .http
        .get::<Map<String, Value>>(endpoint, Some(access_token))
        .await;
    let mut told = told.map_err(|error| {
        tracing::warn!(%error, "the OpenID provider does not say who has logged in");
        ProviderError::Away
    })?;
    if told.get("sub").and_then(Value::as_str) != Some(&claims.subject) {
        return Err(TokenError::Claim("sub").into());
    }
    for name in [groups, NAME, "name", "email", "email_verified"] {
        if let Some(value) = told.remove(name) {
            claims.all.entry(name).or_insert(value);
        }
    }
    Ok(claims)
}
