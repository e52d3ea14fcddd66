//! The provider as it describes itself, and its keys: asked for when they are needed, kept for a while, and by one call at a
//! time.

use nexus_mesh::Clock;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

use super::freshness::{Asked, Next};
use super::http::{Http, HttpError};
use super::settings::{Settings, SettingsError, check_url};
use super::verify::{self, Claims, Key, TokenError};
use crate::metrics;

/// The provider cannot be used, or what it gave proves nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It cannot be reached, or does not answer as it should.
    #[error("the OpenID provider cannot be asked at present")]
    Away,
    /// The token proves nothing.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// It does not take the code.
    #[error("the OpenID provider does not take the code: {0}")]
    Code(String),
}

/// What a provider says of itself (OpenID Connect Discovery 1.0, 3).
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Description {
    issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    jwks_uri: String,
    pub(super) userinfo_endpoint: Option<String>,
    #[serde(default)]
    pub(super) scopes_supported: Vec<String>,
    #[serde(default)]
    pub(super) token_endpoint_auth_methods_supported: Vec<String>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// Something that the provider said, and when.
#[derive(Debug)]
struct Said<T> {
    asked: Asked,
    last: Option<Arc<T>>,
}

// Derived, it would want one of T.
impl<T> Default for Said<T> {
    fn default() -> Self {
        Self {
            asked: Asked::default(),
            last: None,
        }
    }
}

/// The provider.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) settings: Settings,
    clock: AnyClock,
    pub(super) http: Http,
    description: Mutex<Said<Description>>,
    keys: Mutex<Said<Vec<Key>>>,
    /// Held by who asks; the others wait and go by the answer.
    asking: tokio::sync::Mutex<()>,
}

struct AnyClock(Clock);

impl std::fmt::Debug for AnyClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Provider {
    pub(crate) fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            settings,
            clock: AnyClock(clock),
            http: Http::default(),
            description: Mutex::default(),
            keys: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    fn now(&self) -> i64 {
        (self.clock.0)()
    }

    /// What a token proves that must be for somebody.
    pub(crate) async fn verify(&self, token: &str, audience: &str) -> Result<Claims, ProviderError> {
        let signed = verify::header(token)?;
        let key = self.key(&signed).await?;
        let claims = verify::verify(token, &signed, &key, &self.settings.issuer, audience, self.now())?;
        Ok(claims)
    }

    /// The key that a token is signed with.
    async fn key(&self, signed: &verify::Signed) -> Result<Key, ProviderError> {
        if let Some(decided) = self.known_key(signed) {
            return decided;
        }
        let _one = self.asking.lock().await;
        // Who was before may have asked for the same.
        if let Some(decided) = self.known_key(signed) {
            return decided;
        }
        let asked = self.ask_for_keys().await;
        let mut said = self.keys.lock();
        said.asked.note(asked.is_ok(), self.now());
        metrics::key_fetch(if asked.is_ok() { "done" } else { "failed" });
        match asked {
            Ok(keys) => said.last = Some(Arc::new(keys)),
            Err(error) => tracing::warn!(%error, "the keys of the OpenID provider cannot be had"),
        }
        drop(said);
        self.known_key(signed).unwrap_or(Err(ProviderError::Away))
    }

    /// The key, or that there is none, as far as it can be said without asking.
    fn known_key(&self, signed: &verify::Signed) -> Option<Result<Key, ProviderError>> {
        let said = self.keys.lock();
        let found = said.last.as_ref().and_then(|keys| signed.key(keys).cloned());
        match (said.asked.next(found.is_some(), self.now()), found) {
            (Next::Use, Some(key)) => Some(Ok(key)),
            (Next::Refuse, _) => Some(Err(TokenError::UnknownKey.into())),
            (Next::Away, _) => Some(Err(ProviderError::Away)),
            _ => None,
        }
    }

    async fn ask_for_keys(&self) -> Result<Vec<Key>, HttpError> {
        let description = self.describe().await?;
        let set: KeySet = self.http.get(&description.jwks_uri, None).await?;
        Ok(verify::keys(set.keys))
    }

    /// What the provider says of itself.
    pub(super) async fn description(&self) -> Result<Arc<Description>, ProviderError> {
        let _one = self.asking.lock().await;
        let described = self.describe().await;
        described.map_err(|error| {
            tracing::warn!(%error, "the OpenID provider does not say where it is");
            ProviderError::Away
        })
    }

    /// The same for who has the turn to ask.
    async fn describe(&self) -> Result<Arc<Description>, HttpError> {
        let known = {
            let said = self.description.lock();
            let next = said.asked.next(said.last.is_some(), self.now());
            match (next, &said.last) {
                (Next::Use, Some(last)) => return Ok(Arc::clone(last)),
                (Next::AskOrUse, Some(last)) => Some(Arc::clone(last)),
                (Next::Away, _) => return Err(HttpError::Lately),
                _ => None,
            }
        };
        let issuer = self.settings.issuer.trim_end_matches('/');
        let asked = self
            .http
            .get(&format!("{issuer}/.well-known/openid-configuration"), None)
            .await;
        let asked = asked.and_then(|description| self.check(description));
        let mut said = self.description.lock();
        said.asked.note(asked.is_ok(), self.now());
        match (asked, known) {
            (Ok(description), _) => Ok(Arc::clone(said.last.insert(Arc::new(description)))),
            (Err(_), Some(known)) => Ok(known),
            (Err(error), None) => Err(error),
        }
    }

    /// A description is believed when it is the issuer's own, and names addresses that a secret may be sent to.
    fn check(&self, description: Description) -> Result<Description, HttpError> {
        use serde::de::Error;
        if description.issuer != self.settings.issuer {
            let problem = format!(
                "it calls itself {:?}, and oidc.issuer says otherwise",
                description.issuer
            );
            return Err(serde_json::Error::custom(problem).into());
        }
        let endpoints = [
            &description.authorization_endpoint,
            &description.token_endpoint,
            &description.jwks_uri,
        ];
        for endpoint in endpoints.into_iter().chain(&description.userinfo_endpoint) {
            check_url("oidc.issuer", endpoint)
                .map_err(|SettingsError { problem, .. }| serde_json::Error::custom(format!("an endpoint {problem}")))?;
        }
        Ok(description)
    }
}
