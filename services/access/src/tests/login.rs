//! Logging in with a password, sessions, and their end.

use nexus_api::ErrorReason;
use nexus_api::access::v1 as api;
use tonic_types::StatusExt;

use super::{HOUR, PASSWORD, SECOND, Someone, World, said, why};

const MINUTE: i64 = 60 * SECOND;

#[tokio::test]
async fn a_session_begins_with_the_password_and_ends_with_the_logout() {
    let world = World::new().await;
    let root = world.administrator().await;
    world.user(&root, "anna", &[("viewer", "team-a")]).await;
    let begun = world.login("anna", PASSWORD).await.expect("logged in");
    assert!(begun.token.starts_with("nxs_"));
    let session = begun.session.expect("a session");
    assert_eq!((session.user.as_str(), session.client.as_str()), ("anna", "a browser"));
    assert_eq!(session.method(), api::LoginMethod::Password);
    let found = world.whose(&begun.token).await.expect("known").identity;
    assert_eq!(found, begun.identity);
    let anna = Someone::of(found);
    let told = said(
        world
            .door
            .clone()
            .get_identity(anna.asks(api::GetIdentityRequest {}))
            .await,
    );
    assert_eq!(told.expect("told").identity.as_ref(), Some(&*anna.0));
    for _ in 0..2 {
        world
            .door
            .clone()
            .logout(anna.asks(api::LogoutRequest {}))
            .await
            .expect("logged out");
    }
    assert_eq!(why(world.whose(&begun.token).await), ErrorReason::CredentialInvalid);
    let list = said(
        world
            .people
            .clone()
            .list_sessions(anna.asks(api::ListSessionsRequest::default()))
            .await,
    );
    // A door may go by what it heard before for a while; here it is worth nothing at once.
    assert_eq!(why(list), ErrorReason::CredentialInvalid);
}

#[tokio::test]
async fn a_session_lasts_as_long_as_it_says() {
    let world = World::new().await;
    world.administrator().await;
    let token = world.login("root", PASSWORD).await.expect("logged in").token;
    world.pass(12 * HOUR - 1);
    let kept = world.whose(&token).await.expect("known").keep_for.expect("a time");
    assert_eq!((kept.seconds, kept.nanos), (0, 1_000), "never past its end");
    world.pass(1);
    assert_eq!(why(world.whose(&token).await), ErrorReason::CredentialInvalid);
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_are_told_alike() {
    let world = World::new().await;
    let root = world.administrator().await;
    world.user(&root, "ci", &[]).await;
    let disabled = world.user(&root, "off", &[]).await;
    let change = api::UpdateUserRequest {
        disabled: true,
        ..api::UpdateUserRequest::default()
    };
    world.update(&root, &disabled.name, change).await.expect("disabled");
    let mut told = Vec::new();
    for (user, password) in [
        ("root", "wrong password 1"),
        ("nobody", PASSWORD),
        ("ci", PASSWORD),
        ("off", PASSWORD),
    ] {
        let refused = world.login(user, password).await.expect_err("wrong");
        told.push((refused.code(), refused.message().to_owned(), refused.details().to_vec()));
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
}

#[tokio::test]
async fn after_five_wrong_passwords_the_right_one_is_refused_for_a_while_too() {
    let world = World::new().await;
    world.administrator().await;
    for user in ["root", "nobody"] {
        for _ in 0..5 {
            let refused = world.login(user, "wrong password 1").await.expect_err("wrong");
            assert!(refused.message().contains("wrong") && refused.get_details_retry_info().is_none());
        }
        let refused = world.login(user, PASSWORD).await.expect_err("locked");
        let wait = refused
            .get_details_retry_info()
            .and_then(|info| info.retry_delay)
            .expect("a time");
        assert_eq!(wait.as_secs(), 60, "{user}");
    }
    let root = world
        .whose(
            &world
                .login("root", PASSWORD)
                .await
                .map(|begun| begun.token)
                .unwrap_or_default(),
        )
        .await;
    assert!(root.is_err());
    world.pass(MINUTE);
    assert_eq!(
        why(world.login("root", "wrong password 1").await),
        ErrorReason::LoginRefused
    );
    world.pass(MINUTE);
    assert!(
        world
            .login("root", PASSWORD)
            .await
            .expect_err("two minutes now")
            .message()
            .contains("refused")
    );
    world.pass(MINUTE);
    world.login("root", PASSWORD).await.expect("it is over");
    for _ in 0..4 {
        world.login("root", "wrong password 1").await.expect_err("wrong");
    }
    world
        .login("root", PASSWORD)
        .await
        .expect("a right one in between begins anew");
}

#[tokio::test]
async fn a_lock_is_seen_and_taken_away_by_a_new_password() {
    let world = World::new().await;
    let root = world.administrator().await;
    world.user(&root, "anna", &[]).await;
    let before = world.login("anna", PASSWORD).await.expect("logged in");
    for _ in 0..5 {
        world.login("anna", "wrong password 1").await.expect_err("wrong");
    }
    let get = api::GetUserRequest {
        user: "anna".to_owned(),
    };
    let user = said(world.people.clone().get_user(root.asks(get)).await)
        .expect("there")
        .user
        .expect("a user");
    assert!(user.locked_until_time.is_some() && user.last_login_time.is_some());
    assert!(world.whose(&before.token).await.is_ok(), "who is in stays in");
    let request = api::SetUserPasswordRequest {
        user: "anna".to_owned(),
        new_password: "another lamp 7 herring".to_owned(),
    };
    world
        .people
        .clone()
        .set_user_password(root.asks(request))
        .await
        .expect("set");
    assert_eq!(why(world.whose(&before.token).await), ErrorReason::CredentialInvalid);
    assert_eq!(why(world.login("anna", PASSWORD).await), ErrorReason::LoginRefused);
    world
        .login("anna", "another lamp 7 herring")
        .await
        .expect("the new one");
}

#[tokio::test]
async fn one_changes_ones_own_password_with_the_old_one_and_stays_logged_in() {
    let world = World::new().await;
    let root = world.administrator().await;
    world.user(&root, "anna", &[]).await;
    let other = world.login("anna", PASSWORD).await.expect("logged in").token;
    let own = world.login("anna", PASSWORD).await.expect("logged in");
    let anna = Someone::of(own.identity);
    let change = async |old: &str, new: &str| {
        let request = api::ChangeOwnPasswordRequest {
            password: old.to_owned(),
            new_password: new.to_owned(),
        };
        said(world.door.clone().change_own_password(anna.asks(request)).await)
    };
    assert_eq!(
        why(change("wrong password 1", "another lamp 7 herring").await),
        ErrorReason::LoginRefused
    );
    for weak in ["short", "password1234", "annaannaanna"] {
        assert_eq!(why(change(PASSWORD, weak).await), ErrorReason::InvalidField);
    }
    change(PASSWORD, "another lamp 7 herring").await.expect("changed");
    assert!(world.whose(&own.token).await.is_ok());
    assert_eq!(why(world.whose(&other).await), ErrorReason::CredentialInvalid);
    for _ in 0..5 {
        change("wrong password 1", "yet another 5 lamps")
            .await
            .expect_err("wrong");
    }
    let locked = change("another lamp 7 herring", "yet another 5 lamps")
        .await
        .expect_err("locked");
    assert!(
        locked.get_details_retry_info().is_some(),
        "an open session is no way around the lock"
    );
}

#[tokio::test]
async fn sessions_are_seen_and_ended_by_their_user_and_by_who_may() {
    let world = World::new().await;
    let root = world.administrator().await;
    for name in ["anna", "otto"] {
        world.user(&root, name, &[]).await;
    }
    let begun = world.login("anna", PASSWORD).await.expect("logged in");
    let (session, anna) = (begun.session.expect("a session").id, Someone::of(begun.identity));
    let otto = world.logged_in("otto").await;
    let list = async |who: &Someone, user: &str| {
        let request = api::ListSessionsRequest {
            user: user.to_owned(),
            ..api::ListSessionsRequest::default()
        };
        let page = said(world.people.clone().list_sessions(who.asks(request)).await)?;
        Ok::<_, tonic::Status>(page.sessions.len())
    };
    assert_eq!(list(&anna, "").await.expect("a page"), 1);
    assert_eq!(why(list(&otto, "anna").await), ErrorReason::PermissionMissing);
    assert_eq!(list(&root, "").await.expect("a page"), 3);
    let revoke = async |who: &Someone, id: &str| {
        let request = api::RevokeSessionRequest { session: id.to_owned() };
        said(world.people.clone().revoke_session(who.asks(request)).await)
    };
    assert_eq!(why(revoke(&otto, &session).await), ErrorReason::SessionNotFound);
    assert_eq!(why(revoke(&root, "made up").await), ErrorReason::SessionNotFound);
    revoke(&root, &session).await.expect("who may, may");
    revoke(&root, &session)
        .await
        .expect("and again, for an answer that was lost");
    assert_eq!(why(world.whose(&begun.token).await), ErrorReason::CredentialInvalid);
}

#[tokio::test]
async fn what_is_no_name_or_password_is_not_even_tried() {
    let world = World::new().await;
    world.administrator().await;
    let long = "x".repeat(257);
    for (user, password) in [
        ("Root", PASSWORD),
        ("", PASSWORD),
        ("root\0", PASSWORD),
        ("root", ""),
        ("root", &long),
    ] {
        assert_eq!(why(world.login(user, password).await), ErrorReason::InvalidField);
    }
}
