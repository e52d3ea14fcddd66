//! API keys: what they may be given, who sees them, and their end.

use nexus_api::ErrorReason;
use nexus_api::access::v1 as api;

use super::{HOUR, SECOND, Someone, World, allows, grants, said, why};

#[tokio::test]
async fn a_key_gives_what_was_asked_for_and_its_secret_is_said_once() {
    let world = World::new().await;
    let root = world.administrator().await;
    let made = world.key(&root, "", &[("operator", "team-a")]).await.expect("a key");
    let key = made.api_key.expect("a key");
    assert!(made.secret.starts_with(&format!("nxk_{}_", key.id)), "{}", made.secret);
    assert_eq!((key.user.as_str(), key.creator.as_str()), ("root", "user:root"));
    let identity = world
        .whose(&made.secret)
        .await
        .expect("known")
        .identity
        .expect("an identity");
    assert_eq!(identity.subject, "user:root");
    assert_eq!(identity.credential, format!("key:{}", key.id));
    assert!(allows(&identity, "executions.start", "team-a"));
    assert!(!allows(&identity, "executions.start", "*") && !allows(&identity, "access.write", "*"));
    let read = world
        .people
        .clone()
        .get_api_key(root.asks(api::GetApiKeyRequest { key: key.id }))
        .await;
    assert!(!format!("{read:?}").contains(&made.secret[29..]), "nowhere else");
}

#[tokio::test]
async fn nobody_gives_a_key_more_than_they_have_and_no_key_is_worth_more_than_its_user() {
    let world = World::new().await;
    let root = world.administrator().await;
    world.user(&root, "anna", &[("editor", "team-a")]).await;
    let anna = world.logged_in("anna").await;
    world
        .key(&anna, "", &[("viewer", "team-a")])
        .await
        .expect("less than she has");
    for more in [
        ("viewer", "*"),
        ("viewer", "team-b"),
        ("admin", "team-a"),
        ("worker", "team-a"),
    ] {
        assert_eq!(
            why(world.key(&anna, "", &[more]).await),
            ErrorReason::PermissionMissing,
            "{more:?}"
        );
    }
    assert_eq!(
        why(world.key(&anna, "root", &[("viewer", "team-a")]).await),
        ErrorReason::PermissionMissing
    );
    let beyond = world.key(&root, "anna", &[("viewer", "*")]).await;
    assert_eq!(why(beyond), ErrorReason::PermissionMissing, "the user has it not");
    let less = world.key(&anna, "", &[("viewer", "team-a")]).await.expect("a key");
    let less = Someone::of(world.whose(&less.secret).await.expect("known").identity);
    let more = world.key(&less, "", &[("editor", "team-a")]).await;
    assert_eq!(
        why(more),
        ErrorReason::PermissionMissing,
        "by a key one gives what the key has"
    );
}

#[tokio::test]
async fn a_worker_gets_its_key_from_an_administrator() {
    let world = World::new().await;
    let root = world.administrator().await;
    world.user(&root, "ci-worker", &[("worker", "team-a")]).await;
    let request = api::CreateApiKeyRequest {
        user: "ci-worker".to_owned(),
        grants: grants(&[("worker", "team-a")]),
        queues: vec!["gpu".to_owned()],
        ..api::CreateApiKeyRequest::default()
    };
    let made = said(world.people.clone().create_api_key(root.asks(request)).await).expect("a key");
    let identity = world
        .whose(&made.secret)
        .await
        .expect("known")
        .identity
        .expect("an identity");
    assert!(allows(&identity, "workers.lease", "team-a") && allows(&identity, "secrets.resolve", "team-a"));
    assert_eq!(identity.kind(), api::IdentityKind::ServiceAccount);
    assert_eq!(identity.queues, ["gpu"]);
    let worker = Someone::of(Some(identity));
    let wider = world.key(&worker, "", &[("worker", "team-a")]).await;
    assert_eq!(why(wider), ErrorReason::InvalidField, "every queue is more than one");
}

#[tokio::test]
async fn a_key_ends_when_it_is_revoked_when_its_time_is_over_and_with_its_user() {
    let world = World::new().await;
    let root = world.administrator().await;
    world.user(&root, "anna", &[("viewer", "*")]).await;
    let anna = world.logged_in("anna").await;
    let request = api::CreateApiKeyRequest {
        grants: grants(&[("viewer", "*")]),
        lifetime: Some(nexus_api::time::duration(HOUR)),
        ..api::CreateApiKeyRequest::default()
    };
    let short = said(world.people.clone().create_api_key(anna.asks(request)).await).expect("a key");
    let keep = async |secret: &str| {
        let answer = world.whose(secret).await.expect("known");
        nexus_api::time::duration_micros(&answer.keep_for.expect("a time"))
    };
    assert_eq!(keep(&short.secret).await, 30 * SECOND);
    world.pass(HOUR - 10 * SECOND);
    assert_eq!(keep(&short.secret).await, 10 * SECOND, "never past its end");
    world.pass(10 * SECOND);
    assert_eq!(why(world.whose(&short.secret).await), ErrorReason::CredentialInvalid);

    let long = world.key(&anna, "", &[("viewer", "*")]).await.expect("a key");
    let id = long.api_key.expect("a key").id;
    for _ in 0..2 {
        let request = api::RevokeApiKeyRequest { key: id.clone() };
        let revoked = said(world.people.clone().revoke_api_key(anna.asks(request)).await).expect("revoked");
        assert!(revoked.api_key.expect("a key").revoke_time.is_some());
    }
    let refused = world.whose(&long.secret).await.expect_err("revoked");
    assert!(refused.message().contains("revoked"), "{refused}");

    let other = world.key(&anna, "", &[("viewer", "*")]).await.expect("a key");
    let disabled = |disabled| api::UpdateUserRequest {
        disabled,
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["disabled".to_owned()],
        }),
        ..api::UpdateUserRequest::default()
    };
    world.update(&root, "anna", disabled(true)).await.expect("disabled");
    assert_eq!(why(world.whose(&other.secret).await), ErrorReason::CredentialInvalid);
    world.update(&root, "anna", disabled(false)).await.expect("enabled");
    assert!(world.whose(&other.secret).await.is_ok());
    let request = api::DeleteUserRequest {
        user: "anna".to_owned(),
        etag: String::new(),
    };
    world
        .people
        .clone()
        .delete_user(root.asks(request))
        .await
        .expect("deleted");
    assert_eq!(why(world.whose(&other.secret).await), ErrorReason::CredentialInvalid);
}

#[tokio::test]
async fn keys_are_seen_and_revoked_by_their_user_and_by_who_may() {
    let world = World::new().await;
    let root = world.administrator().await;
    for name in ["anna", "otto"] {
        world.user(&root, name, &[("viewer", "*")]).await;
    }
    let (anna, otto) = (world.logged_in("anna").await, world.logged_in("otto").await);
    let of_anna = world
        .key(&anna, "", &[("viewer", "*")])
        .await
        .expect("a key")
        .api_key
        .expect("a key")
        .id;
    world.pass(SECOND);
    world.key(&otto, "", &[("viewer", "*")]).await.expect("a key");
    let list = async |who: &Someone, user: &str, page_token: &str| {
        let request = api::ListApiKeysRequest {
            page_size: 1,
            user: user.to_owned(),
            page_token: page_token.to_owned(),
            ..api::ListApiKeysRequest::default()
        };
        said(world.people.clone().list_api_keys(who.asks(request)).await)
    };
    let own = list(&anna, "", "").await.expect("a page");
    assert_eq!(
        (own.api_keys[0].user.as_str(), own.next_page_token.as_str()),
        ("anna", "")
    );
    assert_eq!(why(list(&anna, "otto", "").await), ErrorReason::PermissionMissing);
    let first = list(&root, "", "").await.expect("a page");
    assert_eq!(first.api_keys[0].user, "otto", "the newest first");
    let second = list(&root, "", &first.next_page_token).await.expect("a page");
    assert_eq!(
        (second.api_keys[0].user.as_str(), second.next_page_token.as_str()),
        ("anna", "")
    );
    assert_eq!(
        why(list(&root, "anna", &first.next_page_token).await),
        ErrorReason::InvalidPageToken
    );

    let get = |key: &str| api::GetApiKeyRequest { key: key.to_owned() };
    let revoke = |key: &str| api::RevokeApiKeyRequest { key: key.to_owned() };
    let mut people = world.people.clone();
    assert_eq!(
        why(people.get_api_key(otto.asks(get(&of_anna))).await),
        ErrorReason::ApiKeyNotFound
    );
    assert_eq!(
        why(people.revoke_api_key(otto.asks(revoke(&of_anna))).await),
        ErrorReason::ApiKeyNotFound
    );
    assert_eq!(
        why(people.get_api_key(otto.asks(get("'; --\0"))).await),
        ErrorReason::ApiKeyNotFound
    );
    people
        .revoke_api_key(root.asks(revoke(&of_anna)))
        .await
        .expect("who may, may");
    assert!(
        list(&anna, "", "").await.expect("a page").api_keys.is_empty(),
        "it has ended"
    );
}
