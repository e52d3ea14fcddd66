//! The OpenID provider: tokens that programs show, and people who log in by it.

use nexus_api::ErrorReason;
use nexus_api::access::v1 as api;
use serde_json::{Value, json};

use super::provider::{AUDIENCE, Fake};
use super::{Answer, HOUR, NOW, PASSWORD, SECOND, Someone, World, allows, said, why};

const BACK: &str = "https://console.example/callback";

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

impl World {
    async fn begin(&self, redirect_uri: &str) -> Answer<api::BeginOidcLoginResponse> {
        let request = api::BeginOidcLoginRequest {
            redirect_uri: redirect_uri.to_owned(),
        };
        said(self.door.clone().begin_oidc_login(request).await)
    }

    async fn complete(&self, state: &str, code: &str) -> Answer<api::CompleteOidcLoginResponse> {
        let request = api::CompleteOidcLoginRequest {
            state: state.to_owned(),
            code: code.to_owned(),
            client: "a browser".to_owned(),
        };
        said(self.door.clone().complete_oidc_login(request).await)
    }

    /// A person logs in whose token has these claims.
    async fn come(&self, fake: &Fake, claims: Value) -> Answer<api::CompleteOidcLoginResponse> {
        let begun = self.begin(BACK).await.expect("begun");
        let code = fake.agree(&begun.authorization_url, claims);
        self.complete(&begun.state, &code).await
    }
}

#[tokio::test]
async fn a_person_who_comes_for_the_first_time_becomes_a_user_with_what_their_groups_give() {
    let (fake, world) = world().await;
    let root = world.administrator().await;
    let methods = world
        .door
        .clone()
        .list_login_methods(api::ListLoginMethodsRequest {})
        .await;
    let methods = methods.expect("told").into_inner();
    assert_eq!(methods.oidc_issuer, fake.issuer);
    assert!(methods.methods().any(|method| method == api::LoginMethod::Oidc));

    let begun = world
        .come(&fake, json!({"name": "Anna B.", "groups": ["data"]}))
        .await
        .expect("logged in");
    let session = begun.session.expect("a session");
    assert_eq!(
        (session.user.as_str(), session.method()),
        ("anna", api::LoginMethod::Oidc)
    );
    let identity = world
        .whose(&begun.token)
        .await
        .expect("known")
        .identity
        .expect("an identity");
    assert_eq!(
        (identity.subject.as_str(), identity.display_name.as_str()),
        ("user:anna", "Anna B.")
    );
    assert!(allows(&identity, "workflows.write", "team-a") && !allows(&identity, "executions.start", "*"));
    let get = api::GetUserRequest {
        user: "anna".to_owned(),
    };
    let user = world
        .people
        .clone()
        .get_user(root.asks(get))
        .await
        .expect("there")
        .into_inner()
        .user
        .expect("a user");
    assert!(
        !user.has_password && user.grants.is_empty(),
        "groups give to the session, not to the user"
    );
    assert_eq!(why(world.login("anna", PASSWORD).await), ErrorReason::LoginRefused);

    let again = world
        .come(&fake, json!({"preferred_username": "anna.b", "groups": ["ops"]}))
        .await
        .expect("logged in");
    let other = again.identity.expect("an identity");
    assert_eq!(
        other.subject, "user:anna",
        "known by who they are, not by what they are called"
    );
    assert!(allows(&other, "executions.start", "*") && !allows(&other, "workflows.write", "team-a"));
    let key = world.key(&Someone::of(Some(other)), "", &[("operator", "*")]).await;
    assert_eq!(
        why(key),
        ErrorReason::PermissionMissing,
        "no key outlives what a group gave"
    );
}

#[tokio::test]
async fn a_login_is_used_once_and_within_ten_minutes() {
    let (fake, world) = world().await;
    let begun = world.begin("http://127.0.0.1:4711/callback").await.expect("begun");
    assert!(
        begun.authorization_url.contains("127.0.0.1%3A4711"),
        "{}",
        begun.authorization_url
    );
    let (first, second) = (
        fake.agree(&begun.authorization_url, json!({})),
        fake.agree(&begun.authorization_url, json!({})),
    );
    assert_eq!(why(world.complete("made-up", &first).await), ErrorReason::LoginRefused);
    world.complete(&begun.state, &first).await.expect("logged in");
    assert_eq!(
        why(world.complete(&begun.state, &second).await),
        ErrorReason::LoginRefused,
        "once"
    );

    let late = world.begin(BACK).await.expect("begun");
    let code = fake.agree(&late.authorization_url, json!({}));
    world.pass(600 * SECOND);
    assert_eq!(why(world.complete(&late.state, &code).await), ErrorReason::LoginRefused);

    let (one, two) = (
        world.begin(BACK).await.expect("begun"),
        world.begin(BACK).await.expect("begun"),
    );
    let of_one = fake.agree(&one.authorization_url, json!({"exp": NOW / SECOND + 2_000}));
    let mixed = world.complete(&two.state, &of_one).await;
    assert_eq!(why(mixed), ErrorReason::LoginRefused, "a code belongs to its own login");
    for (state, code) in [("", "code"), ("state", ""), ("state", &"x".repeat(4_097))] {
        assert_eq!(why(world.complete(state, code).await), ErrorReason::InvalidField);
    }
}

#[tokio::test]
async fn who_comes_back_with_something_else_does_not_come_in() {
    let (fake, world) = world().await;
    let root = world.administrator().await;
    for wrong in [
        "https://evil.example/callback",
        "http://127.0.0.1:80@evil.example/callback",
        "",
    ] {
        assert_eq!(why(world.begin(wrong).await), ErrorReason::InvalidField, "{wrong}");
    }
    for (claims, reason) in [
        (json!({"nonce": "another"}), ErrorReason::LoginRefused),
        (json!({"nonce": null}), ErrorReason::LoginRefused),
        (json!({"aud": AUDIENCE}), ErrorReason::CredentialInvalid),
        (json!({"aud": ["nexus", "others"]}), ErrorReason::CredentialInvalid),
        (json!({"azp": "others"}), ErrorReason::CredentialInvalid),
        (json!({"iss": "https://evil.example"}), ErrorReason::CredentialInvalid),
        (json!({"exp": NOW / SECOND - 61}), ErrorReason::CredentialInvalid),
        (json!({"preferred_username": "root"}), ErrorReason::LoginRefused),
        (
            json!({"preferred_username": "A B", "sub": "a|b"}),
            ErrorReason::LoginRefused,
        ),
    ] {
        assert_eq!(why(world.come(&fake, claims.clone()).await), reason, "{claims}");
    }
    let begun = world.begin(BACK).await.expect("begun");
    assert_eq!(
        why(world.complete(&begun.state, "made-up").await),
        ErrorReason::LoginRefused
    );
    let begun = world.begin(BACK).await.expect("begun");
    let code = fake.agree(&begun.authorization_url, json!({}));
    fake.be_away(true);
    assert_eq!(
        why(world.complete(&begun.state, &code).await),
        ErrorReason::AccessUnavailable
    );
    fake.be_away(false);
    let several = json!({"aud": ["nexus", "others"], "azp": "nexus"});
    world.come(&fake, several).await.expect("it says that it is for NEXUS");

    let disabled = api::UpdateUserRequest {
        disabled: true,
        ..api::UpdateUserRequest::default()
    };
    world.update(&root, "anna", disabled).await.expect("disabled");
    assert_eq!(why(world.come(&fake, json!({})).await), ErrorReason::LoginRefused);
    let token = fake.sign("first", &fake.claims(json!({"sub": "anna-at-home"})));
    assert_eq!(
        why(world.whose(&token).await),
        ErrorReason::CredentialInvalid,
        "nor by a token of theirs"
    );
}

#[tokio::test]
async fn without_a_provider_nobody_logs_in_by_one() {
    let world = World::new().await;
    assert_eq!(why(world.begin(BACK).await), ErrorReason::LoginRefused);
    assert_eq!(why(world.complete("state", "code").await), ErrorReason::LoginRefused);
}
