//! What a token of the provider proves. Signatures, the issuer and whom it is for are checked by `jsonwebtoken`; algorithms
//! are an allow-list of those whose keys can be known by everybody, so that no key is ever taken for a shared secret; times
//! are compared with the time that is given. Pure.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// Algorithms of tokens; `none` and those with a shared secret are not among them.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// What a token may say that it is; the provider makes others, such as those that tell of a logout, with the same key.
const TYPES: &[&str] = &["jwt", "at+jwt", "application/at+jwt"];
/// Seconds by which clocks may differ.
const LEEWAY: i64 = 60;
/// Characters of who somebody is there.
const MAX_SUBJECT: usize = 255;
/// Characters of an RSA key's modulus at least: 2,048 bits in base64url.
const LEAST_MODULUS: usize = 342;
/// Keys that are looked at.
const MAX_KEYS: usize = 100;

/// A token that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("it is no signed JWT")]
    Form,
    #[error("it is signed by an algorithm that is not taken here")]
    Algorithm,
    #[error("it is signed with a key that its issuer does not have")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("its `iss` is not the issuer that is known here")]
    Issuer,
    #[error("it is not for NEXUS: its `aud` names others")]
    Audience,
    #[error("it has ended")]
    Ended,
    #[error("it is not valid yet")]
    NotYet,
    #[error("its claim `{0}` is missing or of no use")]
    Claim(&'static str),
}

/// A key of the provider that tokens can be signed with.
#[derive(Clone)]
pub(super) struct Key {
    id: Option<String>,
    algorithm: Option<KeyAlgorithm>,
    key: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?})", self.id)
    }
}

/// The keys of a set, without those that are none for tokens' signatures, of a kind that is not known, or too short.
pub(super) fn keys(set: Vec<Value>) -> Vec<Key> {
    let each = set.into_iter().take(MAX_KEYS).filter_map(|value| {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let signs = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
        let public = match &jwk.algorithm {
            AlgorithmParameters::RSA(rsa) => rsa.n.len() >= LEAST_MODULUS,
            AlgorithmParameters::EllipticCurve(_) | AlgorithmParameters::OctetKeyPair(_) => true,
            // A shared secret is no secret in a set that everybody reads.
            _ => false,
        };
        (signs && public).then_some(())?;
        Some(Key {
            key: DecodingKey::from_jwk(&jwk).ok()?,
            algorithm: jwk.common.key_algorithm,
            id: jwk.common.key_id,
        })
    });
    each.collect()
}

/// What a token says of how it is signed.
#[derive(Debug)]
pub(super) struct Signed {
    algorithm: Algorithm,
    key: Option<String>,
}

/// Reads a token's header. Nothing in it is believed but which of the provider's keys to look at: keys and addresses in it
/// are anybody's.
pub(super) fn header(token: &str) -> Result<Signed, TokenError> {
    let header: Header = decode_header(token).map_err(|error| match error.kind() {
        // `none`, and what nobody knows.
        jsonwebtoken::errors::ErrorKind::Json(_) => TokenError::Algorithm,
        _ => TokenError::Form,
    })?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(TokenError::Algorithm);
    }
    let kind = header.typ.as_deref().map(str::to_lowercase);
    // Whoever does not know what is critical must not take the token (RFC 7515, 4.1.11).
    if kind.is_some_and(|kind| !TYPES.contains(&kind.as_str())) || header.crit.is_some() || header.enc.is_some() {
        return Err(TokenError::Form);
    }
    Ok(Signed {
        algorithm: header.alg,
        key: header.kid,
    })
}

impl Signed {
    /// The key that it is signed with: the one that it names, or the only one that there is.
    pub(super) fn key<'a>(&self, keys: &'a [Key]) -> Option<&'a Key> {
        let mut fitting = keys.iter().filter(|key| {
            let of_algorithm = key
                .algorithm
                .is_none_or(|told| told.to_string() == format!("{:?}", self.algorithm));
            of_algorithm && (self.key.is_none() || self.key == key.id)
        });
        let first = fitting.next()?;
        (self.key.is_some() || fitting.next().is_none()).then_some(first)
    }
}

/// What a token says that proves something.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    /// Who it is, at the provider.
    pub(crate) subject: String,
    /// When it ends, in microseconds.
    pub(crate) ends_at: i64,
    /// Everything that it says.
    pub(crate) all: Map<String, Value>,
}

impl Claims {
    /// A claim that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.all.get(name)?.as_str()
    }
}

/// Checks a token against the key that it names.
pub(super) fn verify(
    token: &str,
    signed: &Signed,
    key: &Key,
    issuer: &str,
    audience: &str,
    now: i64,
) -> Result<Claims, TokenError> {
    let mut validation = Validation::new(signed.algorithm);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Below, against the time that is given.
    (validation.validate_exp, validation.validate_nbf) = (false, false);
    let decoded = decode::<Map<String, Value>>(token, &key.key, &validation);
    let all = decoded.map_err(|error| of_library(error.kind()))?.claims;
    if all.get("iss").and_then(Value::as_str) != Some(issuer) {
        return Err(TokenError::Issuer);
    }
    let seconds = now.div_euclid(1_000_000);
    let ends = time(&all, "exp")?.ok_or(TokenError::Claim("exp"))?;
    if seconds >= ends.saturating_add(LEEWAY) {
        return Err(TokenError::Ended);
    }
    for begins in [time(&all, "nbf")?, time(&all, "iat")?].into_iter().flatten() {
        if begins.saturating_sub(LEEWAY) > seconds {
            return Err(TokenError::NotYet);
        }
    }
    let subject = all.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
    let plain = !subject.contains(char::is_control) && (1..=MAX_SUBJECT).contains(&subject.chars().count());
    if !plain {
        return Err(TokenError::Claim("sub"));
    }
    Ok(Claims {
        subject,
        ends_at: ends.saturating_mul(1_000_000),
        all,
    })
}

/// A time in whole seconds; providers may write parts of them.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, TokenError> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    // A number beyond every date saturates.
    #[allow(clippy::cast_possible_truncation)]
    let whole = value
        .as_i64()
        .or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64));
    whole.map(Some).ok_or(TokenError::Claim(name))
}

fn of_library(kind: &jsonwebtoken::errors::ErrorKind) -> TokenError {
    use jsonwebtoken::errors::ErrorKind as Kind;
    match kind {
        Kind::InvalidSignature => TokenError::Signature,
        Kind::InvalidIssuer => TokenError::Issuer,
        Kind::InvalidAudience => TokenError::Audience,
        Kind::InvalidAlgorithm | Kind::InvalidKeyFormat | Kind::MissingAlgorithm => TokenError::Algorithm,
        Kind::MissingRequiredClaim(name) => TokenError::Claim(match name.as_str() {
            "iss" => "iss",
            "aud" => "aud",
            "sub" => "sub",
            _ => "exp",
        }),
        _ => TokenError::Form,
    }
}
