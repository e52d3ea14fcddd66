//! Users, roles and the first administrator.

use super::{Digest, NewUser, Refused, RoleRow, Secret, Store, UserKind, grant, key, person, refused, role, session};
use crate::store::{UserChange, UserRow};

async fn created(store: &dyn Store, user: NewUser) -> UserRow {
    store.create_user(&user).await.expect("created")
}

pub(super) async fn users_page_by_their_bytes(store: &dyn Store) {
    for name in ["b", "a-b", "a", "a_b"] {
        created(store, person(name, Vec::new())).await;
    }
    let names = async |after: &str, limit| {
        let page = store.users(after, limit).await.expect("a page");
        page.into_iter().map(|user| user.name).collect::<Vec<_>>()
    };
    assert_eq!(names("", 10).await, ["a", "a-b", "a_b", "b"]);
    assert_eq!(names("a-b", 1).await, ["a_b"]);
    assert_eq!(names("b", 10).await, [""; 0]);
    let twice = store.create_user(&person("a", Vec::new())).await;
    assert_eq!(refused(twice), Refused::Exists);
}

pub(super) async fn what_a_user_changes_to_is_checked_and_counted(store: &dyn Store) {
    let before = created(store, person("anna", vec![grant("viewer", "a")])).await;
    assert_eq!(
        (before.kind, before.version, before.disabled),
        (UserKind::Person, 1, false)
    );
    let change = UserChange {
        grants: Some(vec![grant("editor", "*")]),
        at: 7,
        ..UserChange::default()
    };
    let after = store.update_user("anna", Some(1), &change).await.expect("changed");
    let expected = UserRow {
        grants: vec![grant("editor", "*")],
        updated_at: 7,
        version: 2,
        ..before
    };
    assert_eq!(after, expected, "nothing else has changed");
    assert_eq!(store.user("anna").await.expect("read"), Some(expected));
    assert_eq!(
        refused(store.update_user("anna", Some(1), &change).await),
        Refused::Changed
    );
    assert_eq!(refused(store.update_user("otto", None, &change).await), Refused::Absent);
    let unknown = UserChange {
        grants: Some(vec![grant("editor", "*"), grant("made-up", "*")]),
        ..UserChange::default()
    };
    let why = refused(store.update_user("anna", None, &unknown).await);
    assert_eq!(why, Refused::UnknownRole("made-up".to_owned()));
    let unknown = store.create_user(&person("otto", vec![grant("made-up", "a")])).await;
    assert_eq!(refused(unknown), Refused::UnknownRole("made-up".to_owned()));
    assert_eq!(store.user("otto").await.expect("read"), None);
}

pub(super) async fn an_administrator_is_always_left(store: &dyn Store) {
    let everywhere = || vec![grant("admin", "*")];
    created(store, person("anna", everywhere())).await;
    created(store, person("here", vec![grant("admin", "a")])).await;
    let without = UserChange {
        grants: Some(vec![grant("admin", "a")]),
        ..UserChange::default()
    };
    let disabled = UserChange {
        disabled: Some(true),
        ..UserChange::default()
    };
    for change in [&without, &disabled] {
        let why = refused(store.update_user("anna", None, change).await);
        assert_eq!(why, Refused::LastAdministrator);
    }
    assert_eq!(
        refused(store.delete_user("anna", None).await),
        Refused::LastAdministrator
    );
    let other = created(store, person("otto", everywhere())).await;
    store
        .update_user("anna", None, &disabled)
        .await
        .expect("another is left");
    assert_eq!(
        refused(store.delete_user("otto", Some(other.version)).await),
        Refused::LastAdministrator
    );
    store
        .delete_user("anna", None)
        .await
        .expect("one who is disabled is none");
    assert_eq!(store.user("anna").await.expect("read"), None);
    // Two who take it from each other at once.
    created(store, person("anna", everywhere())).await;
    let (one, two) = tokio::join!(
        store.update_user("anna", None, &without),
        store.update_user("otto", None, &disabled)
    );
    assert_eq!([one.is_ok(), two.is_ok()].into_iter().filter(|done| *done).count(), 1);
}

pub(super) async fn roles_are_kept_while_somebody_has_them(store: &dyn Store) {
    let created_role = store.create_role(&role("night-watch")).await.expect("created");
    assert_eq!((created_role.version, created_role.permissions.len()), (1, 1));
    assert_eq!(refused(store.create_role(&role("night-watch")).await), Refused::Exists);
    let changed = RoleRow {
        permissions: vec!["logs.read".to_owned(), "executions.read".to_owned()],
        ..created_role.clone()
    };
    let changed = store.update_role(&changed).await.expect("changed");
    assert_eq!((changed.version, changed.permissions.len()), (2, 2));
    assert_eq!(refused(store.update_role(&created_role).await), Refused::Changed);
    let names = ["night-watch".to_owned(), "other".to_owned()];
    assert_eq!(store.roles_named(&names).await.expect("read"), [changed]);
    assert_eq!(store.roles("night-watch", 10).await.expect("a page"), []);

    created(store, person("anna", vec![grant("night-watch", "a")])).await;
    let in_use = async |at| refused(store.delete_role("night-watch", None, at).await);
    assert_eq!(in_use(0).await, Refused::InUse);
    let mut of_anna = key("anna", 5);
    of_anna.grants = vec![grant("night-watch", "a")];
    of_anna.expires_at = Some(100);
    store.create_key(&of_anna).await.expect("a key");
    let none = UserChange {
        grants: Some(Vec::new()),
        ..UserChange::default()
    };
    store.update_user("anna", None, &none).await.expect("changed");
    assert_eq!(in_use(99).await, Refused::InUse);
    let stale = store.delete_role("night-watch", Some(1), 100).await;
    assert_eq!(refused(stale), Refused::Changed);
    store
        .delete_role("night-watch", Some(2), 100)
        .await
        .expect("nobody has it");
    assert_eq!(in_use(100).await, Refused::Absent);
}

pub(super) async fn people_of_the_provider_are_known_again(store: &dyn Store) {
    let coming = |name: &str| NewUser {
        password: None,
        ..person(name, Vec::new())
    };
    let first = store.welcome(&coming("anna"), "issuer|1").await.expect("a new user");
    assert_eq!(first.subject.as_deref(), Some("issuer|1"));
    let again = store.welcome(&coming("anna.b"), "issuer|1").await.expect("known");
    assert_eq!(again, first, "whatever they are called there now");
    assert_eq!(store.user_of_subject("issuer|1").await.expect("read"), Some(first));
    assert_eq!(store.user_of_subject("issuer|2").await.expect("read"), None);
    assert_eq!(
        refused(store.welcome(&coming("anna"), "issuer|2").await),
        Refused::Exists
    );

    created(store, person("local", Vec::new())).await;
    assert_eq!(
        refused(store.welcome(&coming("local"), "issuer|3").await),
        Refused::Exists,
        "somebody with a password is somebody else"
    );
    let program = NewUser {
        kind: UserKind::ServiceAccount,
        ..coming("ci")
    };
    created(store, program).await;
    assert_eq!(refused(store.welcome(&coming("ci"), "issuer|3").await), Refused::Exists);
    let expected = NewUser {
        grants: vec![grant("editor", "a")],
        ..coming("expected")
    };
    created(store, expected).await;
    let met = store
        .welcome(&coming("expected"), "issuer|3")
        .await
        .expect("was expected");
    assert_eq!((met.subject.as_deref(), met.grants.len()), (Some("issuer|3"), 1));
}

pub(super) async fn the_claim_works_once_and_only_with_the_last_token(store: &dyn Store) {
    let (first, second) = (Digest::of("first"), Digest::of("second"));
    let administrator = person("anna", vec![grant("admin", "*")]);
    let begun = session("anna", 5);
    assert!(store.offered_claim().await.expect("read").is_none());
    assert_eq!(
        refused(store.claim(&first, &administrator, &begun).await),
        Refused::WrongToken
    );
    assert!(store.offer_claim(&first).await.expect("offered"));
    assert!(store.offer_claim(&second).await.expect("offered again"));
    let offered = store.offered_claim().await.expect("read").expect("offered");
    assert!(offered.matches(&second));
    assert_eq!(
        refused(store.claim(&first, &administrator, &begun).await),
        Refused::WrongToken
    );
    created(store, person("otto", Vec::new())).await;
    let taken = store
        .claim(&second, &person("otto", vec![grant("admin", "*")]), &begun)
        .await;
    assert_eq!(refused(taken), Refused::Exists, "and the token still works");
    let claimed = store.claim(&second, &administrator, &begun).await.expect("claimed");
    assert_eq!(claimed.last_login_at, Some(5));
    assert!(
        store.session(&begun.id).await.expect("read").is_some(),
        "they are logged in"
    );
    assert!(store.offered_claim().await.expect("read").is_none());
    let again = store
        .claim(&second, &person("eve", vec![grant("admin", "*")]), &session("eve", 6))
        .await;
    assert_eq!(refused(again), Refused::WrongToken);
    assert!(
        !store.offer_claim(&first).await.expect("asked"),
        "there is an administrator"
    );
    assert!(store.offered_claim().await.expect("read").is_none());
}

pub(super) async fn of_claims_at_once_one_is_done(store: &dyn Store) {
    let token = Digest::of("token");
    assert!(store.offer_claim(&token).await.expect("offered"));
    let claims = (0..5).map(|number| {
        let name = format!("user-{number}");
        let user = NewUser {
            password: Some(Secret::new("a hash")),
            ..person(&name, vec![grant("admin", "*")])
        };
        let token = &token;
        async move { store.claim(token, &user, &session(&name, 5)).await }
    });
    let done = futures::future::join_all(claims).await;
    assert_eq!(done.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert_eq!(store.users("", 10).await.expect("a page").len(), 1);
}
