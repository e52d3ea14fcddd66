//! Roles: those that are built in, and others.

use nexus_api::ErrorReason;
use nexus_api::access::v1 as api;

use super::{Someone, World, allows, said, why};

fn role(name: &str, permissions: &[&str]) -> api::CreateRoleRequest {
    api::CreateRoleRequest {
        name: name.to_owned(),
        description: "of the test".to_owned(),
        permissions: permissions.iter().map(|name| (*name).to_owned()).collect(),
    }
}

async fn create(world: &World, by: &Someone, request: api::CreateRoleRequest) -> super::Answer<api::Role> {
    let created = said(world.people.clone().create_role(by.asks(request)).await)?;
    Ok(created.role.expect("a role"))
}

#[tokio::test]
async fn roles_are_listed_with_those_that_are_built_in_first() {
    let world = World::new().await;
    let root = world.administrator().await;
    for name in ["night-watch", "a-role"] {
        create(&world, &root, role(name, &["logs.read"]))
            .await
            .expect("created");
    }
    let (mut names, mut page_token) = (Vec::new(), String::new());
    for _ in 0..10 {
        let request = api::ListRolesRequest {
            page_size: 3,
            page_token,
        };
        let page = said(world.people.clone().list_roles(root.asks(request)).await).expect("a page");
        assert!(page.roles.len() <= 3);
        names.extend(page.roles.into_iter().map(|role| (role.name, role.built_in)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let names: Vec<_> = names
        .iter()
        .map(|(name, built_in)| (name.as_str(), *built_in))
        .collect();
    let built_in = ["viewer", "operator", "editor", "admin", "worker"].map(|name| (name, true));
    assert_eq!(names[..5], built_in);
    assert_eq!(names[5..], [("a-role", false), ("night-watch", false)]);
}

#[tokio::test]
async fn a_role_changes_what_everybody_who_has_it_may_do() {
    let world = World::new().await;
    let root = world.administrator().await;
    let made = create(&world, &root, role("night-watch", &["logs.read", "logs.read"]))
        .await
        .expect("created");
    assert_eq!(made.permissions, ["logs.read"]);
    world.user(&root, "anna", &[("night-watch", "team-a")]).await;
    let token = world.login("anna", super::PASSWORD).await.expect("logged in").token;
    let may = async |permission: &str| {
        let identity = world.whose(&token).await.expect("known").identity.expect("an identity");
        allows(&identity, permission, "team-a")
    };
    assert!(may("logs.read").await && !may("executions.read").await);
    let request = api::UpdateRoleRequest {
        role: "night-watch".to_owned(),
        permissions: vec!["executions.read".to_owned()],
        etag: made.etag.clone(),
        ..api::UpdateRoleRequest::default()
    };
    let changed = said(world.people.clone().update_role(root.asks(request.clone())).await).expect("changed");
    assert_eq!(
        changed.role.expect("a role").description,
        "of the test",
        "what is not said stays"
    );
    assert!(!may("logs.read").await && may("executions.read").await);
    let again = world.people.clone().update_role(root.asks(request)).await;
    assert_eq!(why(again), ErrorReason::EtagMismatch);
    let delete = api::DeleteRoleRequest {
        role: "night-watch".to_owned(),
        etag: String::new(),
    };
    let in_use = world.people.clone().delete_role(root.asks(delete.clone())).await;
    assert_eq!(why(in_use), ErrorReason::RoleInUse);
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
    world
        .people
        .clone()
        .delete_role(root.asks(delete.clone()))
        .await
        .expect("nobody has it");
    let gone = world.people.clone().delete_role(root.asks(delete)).await;
    assert_eq!(why(gone), ErrorReason::RoleNotFound);
}

#[tokio::test]
async fn what_no_role_may_have_and_who_may_make_one() {
    let world = World::new().await;
    let root = world.administrator().await;
    for never in [
        "public",
        "authenticated",
        "credentials.verify",
        "replicas.speak",
        "made.up",
        "unspecified",
        "",
    ] {
        let refused = create(&world, &root, role("own", &[never])).await;
        assert_eq!(why(refused), ErrorReason::InvalidField, "{never}");
    }
    assert_eq!(
        why(create(&world, &root, role("own", &[])).await),
        ErrorReason::InvalidField
    );
    assert_eq!(
        why(create(&world, &root, role("viewer", &["logs.read"])).await),
        ErrorReason::RoleExists
    );
    create(&world, &root, role("keys", &["access.write", "access.read"]))
        .await
        .expect("created");
    world.user(&root, "mona", &[("keys", "*")]).await;
    let mona = world.logged_in("mona").await;
    let refused = create(&world, &mona, role("own", &["logs.read"])).await;
    assert_eq!(why(refused), ErrorReason::PermissionMissing, "she has it not");
    let request = api::UpdateRoleRequest {
        role: "keys".to_owned(),
        permissions: vec!["secrets.write".to_owned()],
        ..api::UpdateRoleRequest::default()
    };
    let refused = world.people.clone().update_role(mona.asks(request)).await;
    assert_eq!(why(refused), ErrorReason::PermissionMissing, "she would have it next");
    for name in ["admin", "viewer"] {
        let request = api::DeleteRoleRequest {
            role: name.to_owned(),
            etag: String::new(),
        };
        let refused = world.people.clone().delete_role(root.asks(request)).await;
        assert_eq!(why(refused), ErrorReason::RoleInUse);
    }
    let get = api::GetRoleRequest {
        role: "admin".to_owned(),
    };
    let admin = said(world.people.clone().get_role(root.asks(get)).await)
        .expect("there")
        .role
        .expect("a role");
    assert!(admin.built_in && admin.permissions.iter().any(|name| name == "access.write"));
}
