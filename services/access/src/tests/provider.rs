//! An OpenID provider of the tests' own, which does what it is told, wrong things too.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::{NOW, SECOND};
use crate::oidc::settings::{Given, Settings};
use crate::tokens::Secret;

/// What NEXUS is called there, and what it shows.
pub(super) const CLIENT: (&str, &str) = ("nexus", "a secret: of the test");
/// Whom programs' tokens are for.
pub(super) const AUDIENCE: &str = "https://nexus.example";

/// The provider. Clones are the same.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) issuer: String,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    issuer: String,
    keys: BTreeMap<String, rcgen::KeyPair>,
    away: bool,
    key_calls: usize,
    descriptions: usize,
    /// Codes that were given out, with the challenge and the token that they are good for.
    codes: HashMap<String, (String, String)>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let issuer = format!("http://{}", listener.local_addr().expect("an address"));
        let inner = Inner {
            issuer: issuer.clone(),
            ..Inner::default()
        };
        let fake = Self {
            issuer,
            inner: Arc::new(Mutex::new(inner)),
        };
        fake.add_key("first");
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(description))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        fake
    }

    /// How NEXUS is set up for it.
    pub(super) fn settings(&self) -> Settings {
        let given = Given {
            issuer: Some(self.issuer.clone()),
            client_id: Some(CLIENT.0.to_owned()),
            client_secret: Some(Secret::new(CLIENT.1)),
            audience: Some(AUDIENCE.to_owned()),
            redirect_uris: vec!["https://console.example/callback".to_owned()],
            groups_claim: "groups".to_owned(),
            grants: BTreeMap::from([
                ("ops".to_owned(), "operator".to_owned()),
                ("data".to_owned(), "editor@team-a".to_owned()),
            ]),
        };
        Settings::read(given).expect("settings").expect("a provider")
    }

    pub(super) fn add_key(&self, id: &str) {
        let key = rcgen::KeyPair::generate().expect("a key");
        self.inner.lock().keys.insert(id.to_owned(), key);
    }

    pub(super) fn drop_key(&self, id: &str) {
        self.inner.lock().keys.remove(id);
    }

    pub(super) fn be_away(&self, away: bool) {
        self.inner.lock().away = away;
    }

    /// How often it was asked for its keys.
    pub(super) fn key_calls(&self) -> usize {
        self.inner.lock().key_calls
    }

    /// How often it was asked to describe itself.
    pub(super) fn descriptions(&self) -> usize {
        self.inner.lock().descriptions
    }

    /// The public half of a key, as everybody can see it.
    pub(super) fn public(&self, id: &str) -> Vec<u8> {
        self.inner.lock().keys[id].public_key_raw().to_vec()
    }

    /// The claims of a good token of a program, with some of them replaced, or left out where they are null.
    pub(super) fn claims(&self, other: Value) -> Value {
        let now = NOW / SECOND;
        let mut claims = json!({
            "iss": self.issuer, "aud": AUDIENCE, "sub": "ci-job", "jti": "token-7", "iat": now, "exp": now + 600,
            "groups": ["ops", "others"],
        });
        for (name, value) in other.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
            .as_object_mut()
            .expect("an object")
            .retain(|_, value| !value.is_null());
        claims
    }

    /// A token that is signed with one of its keys.
    pub(super) fn sign(&self, key: &str, claims: &Value) -> String {
        let header = Header {
            kid: Some(key.to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        self.sign_as(key, &header, claims)
    }

    pub(super) fn sign_as(&self, key: &str, header: &Header, claims: &Value) -> String {
        let der = self.inner.lock().keys[key].serialize_der();
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ec_der(&der)).expect("a token")
    }

    /// A person agrees at the address that they were sent to; the code that they come back with. Their token has these
    /// claims beside, or instead of, those that belong there.
    pub(super) fn agree(&self, address: &str, claims: Value) -> String {
        let url = Url::parse(address).expect("an address");
        let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(url.path(), "/authorize");
        assert_eq!(
            (asked["response_type"].as_str(), asked["client_id"].as_str()),
            ("code", CLIENT.0)
        );
        assert_eq!(asked["code_challenge_method"], "S256");
        assert!(
            asked["scope"].split(' ').any(|scope| scope == "openid"),
            "{}",
            asked["scope"]
        );
        assert!(
            asked["scope"].split(' ').any(|scope| scope == "groups"),
            "the provider has it"
        );
        let mut all = self.claims(json!({"aud": CLIENT.0, "sub": "anna-at-home", "preferred_username": "anna"}));
        all["nonce"] = json!(asked["nonce"]);
        for (name, value) in claims.as_object().expect("an object") {
            all[name] = value.clone();
        }
        let code = format!("code-{}", self.inner.lock().codes.len());
        let token = self.sign("first", &all);
        let challenge = asked["code_challenge"].clone();
        self.inner.lock().codes.insert(code.clone(), (challenge, token));
        code
    }
}

type Answer = (StatusCode, [(&'static str, &'static str); 1], String);

/// Whoever answers in another form is not understood.
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn told(value: &Value) -> Answer {
    (StatusCode::OK, JSON, value.to_string())
}

const AWAY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

async fn description(State(fake): State<Fake>) -> Answer {
    let mut inner = fake.inner.lock();
    inner.descriptions += 1;
    if inner.away {
        return (AWAY, JSON, String::new());
    }
    let issuer = &inner.issuer;
    told(&json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "scopes_supported": ["openid", "profile", "email", "groups"],
    }))
}

async fn keys(State(fake): State<Fake>) -> Answer {
    let mut inner = fake.inner.lock();
    inner.key_calls += 1;
    if inner.away {
        return (AWAY, JSON, String::new());
    }
    let each = inner.keys.iter().map(|(id, key)| {
        let (x, y) = key.public_key_raw()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id, "x": x, "y": y})
    });
    let mut keys: Vec<Value> = each.collect();
    // What is of no use does no harm.
    keys.push(json!({"kty": "oct", "kid": "shared", "k": "c2hhcmVk"}));
    keys.push(json!({"kty": "XYZ", "kid": "unknown"}));
    told(&json!({ "keys": keys }))
}

async fn token(State(fake): State<Fake>, headers: HeaderMap, body: String) -> Answer {
    let form: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let mut inner = fake.inner.lock();
    if inner.away {
        return (AWAY, JSON, String::new());
    }
    let refused = |why: &str| (StatusCode::BAD_REQUEST, JSON, json!({ "error": why }).to_string());
    let shown = headers
        .get("authorization")
        .and_then(|shown| shown.to_str().ok())
        .unwrap_or_default();
    let shown = shown
        .strip_prefix("Basic ")
        .and_then(|shown| STANDARD.decode(shown).ok())
        .unwrap_or_default();
    let shown = String::from_utf8_lossy(&shown).replace('+', " ").replace("%3A", ":");
    if shown != format!("{}:{}", CLIENT.0, CLIENT.1) {
        return refused("invalid_client");
    }
    let taken = inner
        .codes
        .remove(form.get("code").map(String::as_str).unwrap_or_default());
    let Some((challenge, token)) = taken else {
        return refused("invalid_grant");
    };
    let verifier = form.get("code_verifier").cloned().unwrap_or_default();
    if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) != challenge {
        return refused("invalid_grant");
    }
    told(&json!({"access_token": "opaque", "token_type": "Bearer", "expires_in": 60, "id_token": token}))
}
