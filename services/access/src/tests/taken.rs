//! What was taken from somebody stays taken: a door may still go by what it heard before, and the service does not.

use nexus_api::ErrorReason;
use nexus_api::access::v1 as api;

use super::{HOUR, SECOND, Someone, World, grants, said, why};

/// Whoever shows a key.
async fn showing(world: &World, secret: &str) -> Someone {
    Someone::of(world.whose(secret).await.expect("known").identity)
}

async fn revoke(world: &World, by: &Someone, key: &str) -> Result<api::RevokeApiKeyResponse, tonic::Status> {
    let request = api::RevokeApiKeyRequest { key: key.to_owned() };
    said(world.people.clone().revoke_api_key(by.asks(request)).await)
}

#[tokio::test]
async fn who_was_disabled_cannot_enable_themselves_nor_make_anything_that_lasts() {
    let world = World::new().await;
    let root = world.administrator().await;
    world.user(&root, "bob", &[("admin", "*")]).await;
    let bob = world.logged_in("bob").await;
    let disabled = |disabled| api::UpdateUserRequest {
        disabled,
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["disabled".to_owned()],
        }),
        ..api::UpdateUserRequest::default()
    };
    world.update(&root, "bob", disabled(true)).await.expect("disabled");
    assert_eq!(
        why(world.update(&bob, "bob", disabled(false)).await),
        ErrorReason::CredentialInvalid
    );
    assert_eq!(
        why(world.key(&bob, "", &[("viewer", "*")]).await),
        ErrorReason::CredentialInvalid
    );
    assert_eq!(
        why(world.try_user(&bob, "mallory", &[("admin", "*")]).await),
        ErrorReason::CredentialInvalid
    );
}

#[tokio::test]
async fn a_key_that_was_revoked_makes_no_other_and_none_outlives_the_one_that_makes_it() {
    let world = World::new().await;
    let root = world.administrator().await;
    let lasting = |span| api::CreateApiKeyRequest {
        grants: grants(&[("viewer", "default")]),
        lifetime: span,
        ..api::CreateApiKeyRequest::default()
    };
    let hour = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let made = said(
        world
            .people
            .clone()
            .create_api_key(root.asks(lasting(hour(3_600))))
            .await,
    );
    let made = made.expect("a key");
    let by_key = showing(&world, &made.secret).await;
    for beyond in [None, hour(3_601)] {
        let refused = said(world.people.clone().create_api_key(by_key.asks(lasting(beyond))).await);
        assert_eq!(why(refused), ErrorReason::InvalidField, "{beyond:?}");
    }
    let within = said(
        world
            .people
            .clone()
            .create_api_key(by_key.asks(lasting(hour(3_600))))
            .await,
    );
    within.expect("it ends with the one that makes it");
    world.pass(SECOND);
    let id = made.api_key.expect("a key").id;
    revoke(&world, &root, &id).await.expect("revoked");
    let refused = said(
        world
            .people
            .clone()
            .create_api_key(by_key.asks(lasting(hour(60))))
            .await,
    );
    assert_eq!(why(refused), ErrorReason::CredentialInvalid);
    world.pass(HOUR);
}

#[tokio::test]
async fn a_narrow_key_has_no_right_over_its_users_other_credentials_but_over_itself() {
    let world = World::new().await;
    let root = world.administrator().await;
    let narrow = world.key(&root, "", &[("viewer", "default")]).await.expect("a key");
    let other = world.key(&root, "", &[("admin", "*")]).await.expect("a key");
    let by_key = showing(&world, &narrow.secret).await;
    let other = other.api_key.expect("a key").id;
    assert_eq!(
        why(revoke(&world, &by_key, &other).await),
        ErrorReason::PermissionMissing
    );
    let session = root
        .0
        .credential
        .strip_prefix("session:")
        .expect("a session")
        .to_owned();
    let end = api::RevokeSessionRequest { session };
    let refused = said(world.people.clone().revoke_session(by_key.asks(end)).await);
    assert_eq!(why(refused), ErrorReason::PermissionMissing);
    let own = narrow.api_key.expect("a key").id;
    revoke(&world, &by_key, &own).await.expect("it may end itself");
}

#[tokio::test]
async fn whoever_ends_anothers_credential_or_changes_a_role_has_all_that_it_gives() {
    let world = World::new().await;
    let root = world.administrator().await;
    let permissions = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let role = |name: &str, names: &[&str]| api::CreateRoleRequest {
        name: name.to_owned(),
        permissions: permissions(names),
        ..api::CreateRoleRequest::default()
    };
    for role in [
        role("helpdesk", &["access.read", "access.write"]),
        role("deployer", &["workflows.write"]),
    ] {
        world.people.clone().create_role(root.asks(role)).await.expect("a role");
    }
    world.user(&root, "hedy", &[("helpdesk", "*")]).await;
    let hedy = world.logged_in("hedy").await;
    let key = world.key(&root, "", &[("viewer", "*")]).await.expect("a key");
    let key = key.api_key.expect("a key").id;
    assert_eq!(why(revoke(&world, &hedy, &key).await), ErrorReason::PermissionMissing);
    let session = root
        .0
        .credential
        .strip_prefix("session:")
        .expect("a session")
        .to_owned();
    let end = api::RevokeSessionRequest { session };
    let refused = said(world.people.clone().revoke_session(hedy.asks(end)).await);
    assert_eq!(why(refused), ErrorReason::PermissionMissing);
    let weaker = api::UpdateRoleRequest {
        role: "deployer".to_owned(),
        permissions: permissions(&["access.read"]),
        ..api::UpdateRoleRequest::default()
    };
    let refused = said(world.people.clone().update_role(hedy.asks(weaker)).await);
    assert_eq!(why(refused), ErrorReason::PermissionMissing);
    let delete = api::DeleteRoleRequest {
        role: "deployer".to_owned(),
        etag: String::new(),
    };
    let refused = said(world.people.clone().delete_role(hedy.asks(delete)).await);
    assert_eq!(why(refused), ErrorReason::PermissionMissing);
    world.user(&root, "otto", &[("helpdesk", "team-a")]).await;
    let otto = world
        .key(&root, "otto", &[("helpdesk", "team-a")])
        .await
        .expect("a key");
    let otto = otto.api_key.expect("a key").id;
    revoke(&world, &hedy, &otto).await.expect("of somebody who has no more");
}
