//! Keys, sessions, wrong passwords, and their end.

use super::{Digest, Method, NOW, Refused, Secret, Store, grant, key, person, refused, session};
use crate::lockout::{MINUTE, OF_USER};
use crate::store::{Cutoffs, MAX_SESSIONS, NewPassword, OidcLogin, UserChange, Wanted, failures_of_user};

async fn with_user(store: &dyn Store, name: &str) {
    store.create_user(&person(name, Vec::new())).await.expect("created");
}

pub(super) async fn keys_end_and_are_listed(store: &dyn Store) {
    assert_eq!(refused(store.create_key(&key("nobody", NOW)).await), Refused::Absent);
    with_user(store, "anna").await;
    with_user(store, "otto").await;
    let mut made = Vec::new();
    for (number, user) in [(0, "anna"), (1, "otto"), (2, "anna"), (3, "anna")] {
        let mut key = key(user, NOW + number * 1_000);
        key.expires_at = (number == 2).then_some(NOW + 100);
        store.create_key(&key).await.expect("created");
        made.push(key.id);
    }
    let ids = async |wanted: Wanted, limit| {
        let page = store.keys(&wanted, limit).await.expect("a page");
        page.into_iter().map(|key| key.id).collect::<Vec<_>>()
    };
    let of_anna = |alive_at| Wanted {
        user: Some("anna".to_owned()),
        alive_at,
        before: None,
    };
    let newest_first: Vec<String> = made.iter().rev().cloned().collect();
    assert_eq!(ids(Wanted::default(), 10).await, newest_first);
    assert_eq!(ids(of_anna(None), 2).await, [made[3].clone(), made[2].clone()]);
    let after = Wanted {
        before: Some(made[2].clone()),
        ..of_anna(None)
    };
    assert_eq!(ids(after, 2).await, [made[0].clone()]);
    assert_eq!(ids(of_anna(Some(NOW + 99)), 10).await.len(), 3);
    assert_eq!(ids(of_anna(Some(NOW + 100)), 10).await.len(), 2, "one has ended");

    let read = store.key(&made[0]).await.expect("read").expect("there");
    assert_eq!(
        (read.user.as_str(), read.queues.len(), read.grants.len()),
        ("anna", 1, 1)
    );
    assert_eq!((read.revoked_at, read.last_used_at), (None, None));
    assert_eq!(
        store.revoke_key(&made[0], 50).await.expect("revoked").revoked_at,
        Some(50)
    );
    assert_eq!(
        store.revoke_key(&made[0], 60).await.expect("again").revoked_at,
        Some(50)
    );
    assert_eq!(ids(of_anna(Some(NOW)), 10).await.len(), 2);
    assert_eq!(refused(store.revoke_key("0", 60).await), Refused::Absent);
    store.delete_user("anna", None).await.expect("deleted");
    assert_eq!(
        ids(Wanted::default(), 10).await,
        [made[1].clone()],
        "keys go with their user"
    );
}

pub(super) async fn sessions_make_room_and_end(store: &dyn Store) {
    assert_eq!(
        refused(store.begin_session(&session("anna", NOW), 1).await),
        Refused::Absent
    );
    with_user(store, "anna").await;
    let first = session("anna", NOW);
    store.begin_session(&first, 1).await.expect("begun");
    let read = store.session(&first.id).await.expect("read").expect("there");
    assert!(read.digest.matches(&first.digest));
    assert_eq!(
        (read.method, read.grants),
        (Method::Password, vec![grant("viewer", "*")])
    );
    let user = store.user("anna").await.expect("read").expect("there");
    assert_eq!(
        (user.last_login_at, user.version),
        (Some(NOW), 1),
        "a login is no change"
    );
    for number in 1..=MAX_SESSIONS {
        store
            .begin_session(&session("anna", NOW + number * 1_000), 1)
            .await
            .expect("begun");
    }
    assert!(
        store.session(&first.id).await.expect("read").is_none(),
        "the oldest made room"
    );
    let all = store.sessions(&Wanted::default(), 1_000).await.expect("a page");
    assert_eq!(i64::try_from(all.len()), Ok(MAX_SESSIONS));
    assert!(all.is_sorted_by(|one, next| one.id > next.id));
    let end = async |id: &str, at| store.end_session(id, at).await.expect("ended");
    assert!(end(&all[0].id, NOW + 7).await && end(&all[0].id, NOW + 9).await && !end("0", NOW).await);
    let ended = store.session(&all[0].id).await.expect("read").expect("there");
    assert_eq!(ended.expires_at, NOW + 7, "it has ended and does not end again");
    let disabled = UserChange {
        disabled: Some(true),
        ..UserChange::default()
    };
    store.update_user("anna", None, &disabled).await.expect("disabled");
    assert_eq!(
        refused(store.begin_session(&session("anna", NOW), 1).await),
        Refused::Absent
    );
}

fn password<'a>(user: &'a str, hash: &'a Secret, keep: Option<&'a str>, at: i64) -> NewPassword<'a> {
    NewPassword {
        user,
        version: None,
        hash,
        keep,
        at,
    }
}

pub(super) async fn what_was_seen_of_a_user_before_a_change_begins_no_session_and_sets_no_password(store: &dyn Store) {
    with_user(store, "anna").await;
    let hash = Secret::new("another hash");
    let seen = |version| NewPassword {
        version: Some(version),
        ..password("anna", &hash, None, NOW)
    };
    store.begin_session(&session("anna", NOW), 1).await.expect("begun");
    store.set_password(&seen(1)).await.expect("set");
    // Whoever has shown the password of before comes too late, and so does who looked at the user before.
    assert!(store.begin_session(&session("anna", NOW), 1).await.is_err());
    assert_eq!(refused(store.set_password(&seen(1)).await), Refused::Changed);
    assert_eq!(store.sessions(&Wanted::default(), 10).await.expect("a page").len(), 0);
    store.begin_session(&session("anna", NOW), 2).await.expect("begun");
}

pub(super) async fn a_new_password_ends_the_other_sessions(store: &dyn Store) {
    with_user(store, "anna").await;
    with_user(store, "otto").await;
    let sessions = [session("anna", NOW), session("anna", NOW + 1_000), session("otto", NOW)];
    for session in &sessions {
        store.begin_session(session, 1).await.expect("begun");
    }
    let hash = Secret::new("another hash");
    let keep = Some(sessions[1].id.as_str());
    store
        .set_password(&password("anna", &hash, keep, 9))
        .await
        .expect("set");
    let user = store.user("anna").await.expect("read").expect("there");
    assert_eq!(
        (user.password, user.updated_at, user.version),
        (Some(hash.clone()), 9, 2)
    );
    let left = async || {
        let left = store.sessions(&Wanted::default(), 10).await.expect("a page");
        left.into_iter().map(|session| session.id).collect::<Vec<_>>()
    };
    let mut expected = vec![sessions[1].id.clone(), sessions[2].id.clone()];
    expected.sort_unstable_by(|one, two| two.cmp(one));
    assert_eq!(left().await, expected);
    store
        .set_password(&password("anna", &hash, None, 10))
        .await
        .expect("set");
    assert_eq!(left().await, [sessions[2].id.clone()]);
    assert_eq!(
        refused(store.set_password(&password("nobody", &hash, None, 10)).await),
        Refused::Absent
    );
}

pub(super) async fn uses_are_noted_and_never_go_back(store: &dyn Store) {
    with_user(store, "anna").await;
    let (key, session) = (key("anna", NOW), session("anna", NOW));
    store.create_key(&key).await.expect("a key");
    store.begin_session(&session, 1).await.expect("a session");
    let note = async |at: i64| {
        let keys = [(key.id.clone(), at), ("gone".to_owned(), at)];
        let sessions = [(session.id.clone(), at)];
        store.note_uses(&keys, &sessions).await.expect("noted");
        let key = store.key(&key.id).await.expect("read").expect("there");
        let session = store.session(&session.id).await.expect("read").expect("there");
        (key.last_used_at, session.last_used_at)
    };
    let later = NOW + 5_000_000_000;
    assert_eq!(note(later).await, (Some(later), later));
    assert_eq!(
        note(later - 1).await,
        (Some(later), later),
        "replicas tell in any order"
    );
    store.note_uses(&[], &[]).await.expect("nothing to note");
}

pub(super) async fn wrong_passwords_are_counted_and_forgotten(store: &dyn Store) {
    with_user(store, "anna").await;
    let (anna, nobody) = (failures_of_user("anna"), failures_of_user("nobody"));
    assert_eq!(store.failures(&anna).await.expect("read"), None);
    for number in 1..=5 {
        let noted = store.note_failure(&anna, &OF_USER, NOW).await.expect("noted");
        assert_eq!(noted.count, number);
        assert_eq!(noted.locked(NOW).is_some(), number == 5);
        assert_eq!(store.failures(&anna).await.expect("read"), Some(noted));
    }
    let unknown = store.note_failure(&nobody, &OF_USER, NOW).await.expect("noted");
    assert_eq!(unknown.count, 1, "one who is not there is locked out like anybody");
    let at_once = (0..10).map(|_| store.note_failure(&nobody, &OF_USER, NOW));
    futures::future::join_all(at_once).await;
    let counted = store
        .failures(&nobody)
        .await
        .expect("read")
        .map(|failures| failures.count);
    assert_eq!(counted, Some(11), "none is lost");
    store
        .begin_session(&session("anna", NOW + MINUTE), 1)
        .await
        .expect("logged in");
    assert_eq!(store.failures(&anna).await.expect("read"), None);
    store.note_failure(&anna, &OF_USER, NOW).await.expect("noted");
    store
        .set_password(&password("anna", &Secret::new("hash"), None, NOW))
        .await
        .expect("set");
    assert_eq!(store.failures(&anna).await.expect("read"), None);
}

fn login(state: &str, expires_at: i64) -> OidcLogin {
    OidcLogin {
        state: Digest::of(state),
        nonce: Digest::of("nonce"),
        verifier: Secret::new("verifier"),
        redirect_uri: "https://console.example/callback".to_owned(),
        expires_at,
    }
}

pub(super) async fn a_login_by_the_provider_is_taken_once(store: &dyn Store) {
    store.begin_login(&login("one", NOW + 10), NOW).await.expect("begun");
    store.begin_login(&login("two", NOW + 10), NOW).await.expect("begun");
    let take = async |state: &str, at| store.take_login(&Digest::of(state), at).await.expect("read");
    assert!(take("three", NOW).await.is_none());
    let taken = take("one", NOW + 9).await.expect("there");
    assert_eq!(taken.redirect_uri, "https://console.example/callback");
    assert_eq!(taken.verifier.expose(), "verifier");
    assert!(taken.nonce.matches(&Digest::of("nonce")));
    assert!(take("one", NOW + 9).await.is_none(), "once");
    assert!(take("two", NOW + 10).await.is_none(), "it has ended");
    assert!(take("two", NOW).await.is_none(), "and is gone");
}

pub(super) async fn what_has_ended_is_removed_in_batches(store: &dyn Store) {
    with_user(store, "anna").await;
    for number in 0..5 {
        let mut key = key("anna", NOW + number);
        key.expires_at = (number % 2 == 0).then_some(NOW + 10);
        store.create_key(&key).await.expect("a key");
        if number == 1 {
            store.revoke_key(&key.id, NOW + 10).await.expect("revoked");
        }
        store
            .begin_session(&session("anna", NOW + number), 1)
            .await
            .expect("a session");
        store
            .begin_login(&login(&number.to_string(), NOW + number), NOW)
            .await
            .expect("a login");
        let of = number.to_string();
        store.note_failure(&of, &OF_USER, NOW + number).await.expect("noted");
    }
    let cutoffs = Cutoffs {
        keys: NOW + 11,
        sessions: NOW + 3,
        logins: NOW + 3,
        calls: 0,
        failures: NOW + 1,
    };
    let mut rounds = Vec::new();
    while rounds.last() != Some(&0) && rounds.len() < 10 {
        rounds.push(store.remove_ended(cutoffs, 2).await.expect("removed"));
    }
    assert_eq!(rounds, [2, 2, 0], "two of each kind at most, and it comes to its end");
    assert_eq!(store.keys(&Wanted::default(), 10).await.expect("a page").len(), 1);
    assert_eq!(
        store.sessions(&Wanted::default(), 10).await.expect("a page").len(),
        5,
        "they have not ended"
    );
    let alive = Wanted {
        alive_at: Some(NOW + 3_600_000_001),
        ..Wanted::default()
    };
    assert_eq!(store.sessions(&alive, 10).await.expect("a page").len(), 3);
    assert_eq!(store.failures("0").await.expect("read"), None);
    assert!(store.failures("1").await.expect("read").is_some());
}
