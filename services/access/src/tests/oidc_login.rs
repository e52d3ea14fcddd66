//! People who log in by the OpenID provider.

use nexus_api::ErrorReason;
use nexus_api::access::v1 as api;
use serde_json::{Value, json};

use super::provider::{AUDIENCE, Fake};
use super::{Answer, NOW, PASSWORD, SECOND, Someone, World, allows, said, why};

const BACK: &str = "https://console.example/callback";

async fn world() -> (Fake, World) {
    let fake = Fake::start().await;
    let world = World::with(Some(fake.settings())).await;
    (fake, world)
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
async fn a_provider_that_is_away_is_not_asked_by_everybody_who_would_log_in() {
    let (fake, world) = world().await;
    fake.be_away(true);
    for _ in 0..5 {
        assert_eq!(why(world.begin(BACK).await), ErrorReason::AccessUnavailable);
    }
    fake.be_away(false);
    assert_eq!(
        why(world.begin(BACK).await),
        ErrorReason::AccessUnavailable,
        "asked a moment ago"
    );
    world.pass(30 * SECOND);
    world.begin(BACK).await.expect("it is back");
    assert_eq!(
        fake.descriptions(),
        2,
        "once while it was away, and once when it was back"
    );
}

#[tokio::test]
async fn without_a_provider_nobody_logs_in_by_one() {
    let world = World::new().await;
    assert_eq!(why(world.begin(BACK).await), ErrorReason::LoginRefused);
    assert_eq!(why(world.complete("state", "code").await), ErrorReason::LoginRefused);
}
