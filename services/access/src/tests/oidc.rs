//! Tokens of the OpenID provider that programs show.

use nexus_api::ErrorReason;
use nexus_api::access::v1 as api;
use serde_json::{Value, json};

use super::provider::{AUDIENCE, Fake};
use super::{HOUR, NOW, SECOND, World, allows, why};

async fn world() -> (Fake, World) {
    let fake = Fake::start().await;
    let world = World::with(Some(fake.settings())).await;
    (fake, world)
}

#[tokio::test]
async fn a_program_is_who_its_provider_says_and_may_do_what_its_groups_give() {
    let (fake, world) = world().await;
    let token = fake.sign("first", &fake.claims(json!({})));
    let answer = world.whose(&token).await.expect("known");
    let identity = answer.identity.expect("an identity");
    assert_eq!(
        (identity.subject.as_str(), identity.credential.as_str()),
        ("oidc:ci-job", "token:token-7")
    );
    assert_eq!(identity.kind(), api::IdentityKind::ServiceAccount);
    assert!(allows(&identity, "executions.start", "*") && !allows(&identity, "workflows.write", "team-a"));
    assert_eq!(answer.keep_for.expect("a time").seconds, 30);
    let listed = fake.sign(
        "first",
        &fake.claims(json!({"aud": ["others", AUDIENCE], "groups": "data", "jti": null})),
    );
    let identity = world
        .whose(&listed)
        .await
        .expect("known")
        .identity
        .expect("an identity");
    assert!(allows(&identity, "workflows.write", "team-a") && !allows(&identity, "executions.start", "*"));
    assert!(identity.credential.starts_with("token:") && identity.credential.len() == 6 + 16);
    let without = fake.sign("first", &fake.claims(json!({"groups": null})));
    let identity = world
        .whose(&without)
        .await
        .expect("known")
        .identity
        .expect("an identity");
    assert!(identity.allowances.is_empty());
    assert_eq!(fake.key_calls(), 1, "keys are kept");
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute() {
    let (fake, world) = world().await;
    let now = NOW / SECOND;
    for fits in [
        json!({"exp": now - 59}),
        json!({"nbf": now + 60}),
        json!({"iat": now + 60, "nbf": now - 5}),
    ] {
        let answer = world.whose(&fake.sign("first", &fake.claims(fits.clone()))).await;
        let keep = answer
            .unwrap_or_else(|error| panic!("{fits}: {error}"))
            .keep_for
            .expect("a time");
        assert!((0..=30).contains(&keep.seconds), "{fits}");
    }
}

/// Tokens that prove nothing, and what is wrong with each.
fn worthless(fake: &Fake) -> Vec<(&'static str, String)> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    let now = NOW / SECOND;
    let good = fake.claims(json!({}));
    let with = |claims: Value| fake.sign("first", &fake.claims(claims));
    let header = |change: fn(&mut Header)| {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("first".to_owned());
        change(&mut header);
        fake.sign_as("first", &header, &good)
    };
    let part = |value: &Value| BASE64.encode(value.to_string());
    let hmac = |secret: &[u8], key: &str| {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(key.to_owned());
        jsonwebtoken::encode(&header, &good, &EncodingKey::from_secret(secret)).expect("a token")
    };
    let signed = fake.sign("first", &good);
    let (front, signature) = signed.rsplit_once('.').expect("three parts");
    let forged = front
        .split_once('.')
        .map(|(head, _)| format!("{head}.{}.{signature}", part(&json!({"sub": "root"}))));
    let stranger = Header {
        kid: Some("first".to_owned()),
        ..Header::new(Algorithm::ES256)
    };
    let own_key = rcgen::KeyPair::generate().expect("a key").serialize_der();
    let stranger = jsonwebtoken::encode(&stranger, &good, &EncodingKey::from_ec_der(&own_key)).expect("a token");
    vec![
        ("it has ended", with(json!({"exp": now - 60}))),
        ("it is not valid yet", with(json!({"nbf": now + 61}))),
        ("it was made in the future", with(json!({"iat": now + 61}))),
        ("it has no end", with(json!({"exp": null}))),
        ("its end is no time", with(json!({"exp": "tomorrow"}))),
        ("it is for another", with(json!({"aud": "https://others.example"}))),
        ("it is for others", with(json!({"aud": ["a", "b"]}))),
        ("it is for people who log in", with(json!({"aud": "nexus"}))),
        ("it is for nobody", with(json!({"aud": null}))),
        ("it is another issuer's", with(json!({"iss": "https://evil.example"}))),
        (
            "it is nearly the issuer's",
            with(json!({"iss": format!("{}/", fake.issuer)})),
        ),
        (
            "it has several issuers",
            with(json!({"iss": [fake.issuer, "https://evil.example"]})),
        ),
        ("it is nobody's", with(json!({"sub": null}))),
        ("it is of nobody with a name", with(json!({"sub": ""}))),
        (
            "none",
            format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(&good)),
        ),
        (
            "None",
            format!("{}.{}.", part(&json!({"alg": "None", "kid": "first"})), part(&good)),
        ),
        (
            "signed with the public key as a secret",
            hmac(&fake.public("first"), "first"),
        ),
        ("signed with a secret that everybody reads", hmac(b"shared", "shared")),
        ("its claims were changed", forged.expect("three parts")),
        ("signed by a stranger in another's name", stranger),
        ("it has no signature", format!("{front}.")),
        (
            "it names a key that is not there",
            header(|header| header.kid = Some("made-up".to_owned())),
        ),
        (
            "it tells of a logout",
            header(|header| header.typ = Some("logout+jwt".to_owned())),
        ),
        (
            "it has something critical",
            header(|header| header.crit = Some(vec!["exp".to_owned()])),
        ),
    ]
}

#[tokio::test]
async fn what_proves_nothing_is_refused() {
    let (fake, world) = world().await;
    world
        .whose(&fake.sign("first", &fake.claims(json!({}))))
        .await
        .expect("a good one");
    for (what, token) in worthless(&fake) {
        let refused = world.whose(&token).await.expect_err(what);
        let reason = nexus_api::error::reason_of(&refused);
        assert_eq!(reason, Some(ErrorReason::CredentialInvalid), "{what}: {refused}");
        assert!(!refused.message().contains(&token), "{what}");
    }
    assert_eq!(
        fake.key_calls(),
        1,
        "not even the unknown key has it asked again at once"
    );
}

#[tokio::test]
async fn keys_may_change() {
    let (fake, world) = world().await;
    let old = fake.sign("first", &fake.claims(json!({"exp": NOW / SECOND + 90_000})));
    world.whose(&old).await.expect("known");
    fake.add_key("second");
    let new = fake.sign("second", &fake.claims(json!({"exp": NOW / SECOND + 90_000})));
    fake.drop_key("first");
    assert_eq!(
        why(world.whose(&new).await),
        ErrorReason::CredentialInvalid,
        "asked a moment ago"
    );
    world.pass(30 * SECOND);
    let all = futures::future::join_all((0..20).map(|_| world.whose(&new))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(fake.key_calls(), 2, "one asks for all");
    assert_eq!(
        why(world.whose(&old).await),
        ErrorReason::CredentialInvalid,
        "its key is gone"
    );
}

#[tokio::test]
async fn while_the_provider_is_away_known_keys_are_good_for_a_day() {
    let (fake, world) = world().await;
    let claims = fake.claims(json!({"exp": NOW / SECOND + 200_000}));
    let token = fake.sign("first", &claims);
    fake.be_away(true);
    assert_eq!(why(world.whose(&token).await), ErrorReason::AccessUnavailable);
    fake.be_away(false);
    assert_eq!(
        why(world.whose(&token).await),
        ErrorReason::AccessUnavailable,
        "asked a moment ago"
    );
    world.pass(30 * SECOND);
    world.whose(&token).await.expect("it is back");
    fake.be_away(true);
    fake.add_key("second");
    world.pass(23 * HOUR);
    world.whose(&token).await.expect("a key that is known");
    let other = world.whose(&fake.sign("second", &claims)).await;
    assert_eq!(
        why(other),
        ErrorReason::AccessUnavailable,
        "nobody knows whether it is a key"
    );
    world.pass(2 * HOUR);
    assert_eq!(why(world.whose(&token).await), ErrorReason::AccessUnavailable);
    fake.be_away(false);
    world.pass(30 * SECOND);
    world.whose(&token).await.expect("it is back");
}

#[tokio::test]
async fn no_token_is_taken_where_no_audience_says_whom_they_are_for() {
    let fake = Fake::start().await;
    let mut settings = fake.settings();
    settings.audience = None;
    let world = World::with(Some(settings)).await;
    let token = fake.sign("first", &fake.claims(json!({})));
    assert_eq!(why(world.whose(&token).await), ErrorReason::CredentialInvalid);
    assert_eq!(fake.key_calls(), 0);
}
