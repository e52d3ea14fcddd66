//! Users: who may make and change whom.

use nexus_api::ErrorReason;
use nexus_api::access::v1 as api;

use super::{Someone, World, grants, said, why};

fn with_grants(roles: &[(&str, &str)]) -> api::UpdateUserRequest {
    api::UpdateUserRequest {
        grants: grants(roles),
        ..api::UpdateUserRequest::default()
    }
}

/// Somebody who manages users and is no administrator.
async fn manager(world: &World, root: &Someone) -> Someone {
    let request = api::CreateRoleRequest {
        name: "manager".to_owned(),
        permissions: vec![
            "access.write".to_owned(),
            "access.read".to_owned(),
            "logs.read".to_owned(),
        ],
        ..api::CreateRoleRequest::default()
    };
    world
        .people
        .clone()
        .create_role(root.asks(request))
        .await
        .expect("a role");
    world.user(root, "mona", &[("manager", "*")]).await;
    world.logged_in("mona").await
}

#[tokio::test]
async fn nobody_gives_a_user_more_than_they_have() {
    let world = World::new().await;
    let root = world.administrator().await;
    let mona = manager(&world, &root).await;
    world.user(&mona, "anna", &[("manager", "team-a")]).await;
    for more in [("viewer", "*"), ("admin", "team-a"), ("worker", "*")] {
        let refused = world.try_user(&mona, "eve", &[more]).await;
        assert_eq!(why(refused), ErrorReason::PermissionMissing, "{more:?}");
        let refused = world.update(&mona, "anna", with_grants(&[more])).await;
        assert_eq!(why(refused), ErrorReason::PermissionMissing, "{more:?}");
        let refused = world.update(&mona, "mona", with_grants(&[more])).await;
        assert_eq!(why(refused), ErrorReason::PermissionMissing, "not even oneself");
    }
    world
        .update(&root, "anna", with_grants(&[("worker", "*")]))
        .await
        .expect("an administrator may");
}

#[tokio::test]
async fn whoever_changes_somebody_has_all_that_they_have() {
    let world = World::new().await;
    let root = world.administrator().await;
    let mona = manager(&world, &root).await;
    let mut people = world.people.clone();
    let password = |user: &str| api::SetUserPasswordRequest {
        user: user.to_owned(),
        new_password: "another lamp 7 herring".to_owned(),
    };
    let refused = people.set_user_password(mona.asks(password("root"))).await;
    assert_eq!(why(refused), ErrorReason::PermissionMissing, "she would be root next");
    let request = api::DeleteUserRequest {
        user: "root".to_owned(),
        etag: String::new(),
    };
    assert_eq!(
        why(people.delete_user(mona.asks(request)).await),
        ErrorReason::PermissionMissing
    );
    assert_eq!(
        why(world.update(&mona, "root", with_grants(&[])).await),
        ErrorReason::PermissionMissing
    );
    world.user(&mona, "anna", &[]).await;
    people
        .set_user_password(mona.asks(password("anna")))
        .await
        .expect("anna has less");
    assert!(world.login("anna", "another lamp 7 herring").await.is_ok());
}

#[tokio::test]
async fn whoever_has_access_in_one_namespace_has_it_not_for_users() {
    let world = World::new().await;
    let root = world.administrator().await;
    world.user(&root, "anna", &[("admin", "team-a")]).await;
    let anna = world.logged_in("anna").await;
    assert_eq!(
        why(world.try_user(&anna, "eve", &[]).await),
        ErrorReason::PermissionMissing
    );
    let mut people = world.people.clone();
    let list = people.list_users(anna.asks(api::ListUsersRequest::default())).await;
    assert_eq!(why(list), ErrorReason::PermissionMissing);
    let nobody = people.list_users(api::ListUsersRequest::default()).await;
    assert_eq!(why(nobody), ErrorReason::CredentialInvalid);
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let world = World::new().await;
    let root = world.administrator().await;
    let less = world.update(&root, "root", with_grants(&[("admin", "team-a")])).await;
    assert_eq!(why(less), ErrorReason::LastAdministrator);
    let disabled = api::UpdateUserRequest {
        disabled: true,
        ..api::UpdateUserRequest::default()
    };
    assert_eq!(
        why(world.update(&root, "root", disabled.clone()).await),
        ErrorReason::LastAdministrator
    );
    world.user(&root, "second", &[("admin", "*")]).await;
    world.update(&root, "root", disabled).await.expect("another is left");
}

#[tokio::test]
async fn users_are_changed_field_by_field_and_by_etag() {
    let world = World::new().await;
    let root = world.administrator().await;
    let made = world.user(&root, "anna", &[("viewer", "team-a")]).await;
    assert!(made.has_password && !made.disabled && made.last_login_time.is_none());
    let named = api::UpdateUserRequest {
        display_name: "Anna B.".to_owned(),
        etag: made.etag.clone(),
        ..api::UpdateUserRequest::default()
    };
    let changed = world.update(&root, "anna", named.clone()).await.expect("changed");
    assert_eq!((changed.display_name.as_str(), changed.grants.len()), ("Anna B.", 1));
    assert_eq!(why(world.update(&root, "anna", named).await), ErrorReason::EtagMismatch);
    let mask = |path: &str| api::UpdateUserRequest {
        update_mask: Some(prost_types::FieldMask {
            paths: vec![path.to_owned()],
        }),
        ..api::UpdateUserRequest::default()
    };
    let emptied = world.update(&root, "anna", mask("grants")).await.expect("changed");
    assert_eq!((emptied.display_name.as_str(), emptied.grants.len()), ("Anna B.", 0));
    assert_eq!(
        why(world.update(&root, "anna", mask("password")).await),
        ErrorReason::InvalidField
    );
    assert_eq!(
        why(world.update(&root, "nobody", mask("grants")).await),
        ErrorReason::UserNotFound
    );
    assert_eq!(why(world.try_user(&root, "anna", &[]).await), ErrorReason::UserExists);
    assert_eq!(why(world.try_user(&root, "Anna", &[]).await), ErrorReason::InvalidField);
    let unknown = world.try_user(&root, "eve", &[("made-up", "*")]).await;
    assert_eq!(why(unknown), ErrorReason::InvalidField, "a role that is not there");
}

#[tokio::test]
async fn users_are_listed_by_name_page_by_page() {
    let world = World::new().await;
    let root = world.administrator().await;
    for name in ["otto", "anna"] {
        world.user(&root, name, &[]).await;
    }
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = api::ListUsersRequest {
            page_size: 2,
            page_token,
        };
        let page = said(world.people.clone().list_users(root.asks(request)).await).expect("a page");
        names.extend(page.users.into_iter().map(|user| user.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["anna", "otto", "root"]);
}

#[tokio::test]
async fn programs_have_no_password() {
    let world = World::new().await;
    let root = world.administrator().await;
    let program = world.user(&root, "ci", &[("operator", "team-a")]).await;
    assert_eq!(
        (program.kind(), program.has_password),
        (api::UserKind::ServiceAccount, false)
    );
    let request = api::SetUserPasswordRequest {
        user: "ci".to_owned(),
        new_password: super::PASSWORD.to_owned(),
    };
    let refused = world.people.clone().set_user_password(root.asks(request)).await;
    assert_eq!(why(refused), ErrorReason::InvalidField);
    assert_eq!(why(world.login("ci", super::PASSWORD).await), ErrorReason::LoginRefused);
}
