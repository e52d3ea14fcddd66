//! What every adapter must do: generic over the port, stamped for each adapter below.

mod administration;
mod audit;
mod calls;
mod credentials;

use std::path::Path;

use nexus_storage::postgres::Options;

use super::postgres::PostgresStore;
use super::{KeyRow, Method, NewUser, Refused, RoleRow, SessionRow, Store, StoreError, UserKind};
use crate::powers::Grant;
use crate::tokens::{self, Digest, Kind, Secret};

use audit::{
    appending_at_once_makes_one_chain, changes_tell_in_their_transaction_or_not_at_all, entries_are_filtered_and_page,
    history_is_not_changed, old_history_goes_behind_an_anchor, whoever_tampers_with_a_row_is_found,
};

use administration::{
    an_administrator_is_always_left, of_claims_at_once_one_is_done, people_of_the_provider_are_known_again,
    roles_are_kept_while_somebody_has_them, the_claim_works_once_and_only_with_the_last_token,
    users_page_by_their_bytes, what_a_user_changes_to_is_checked_and_counted,
};
use calls::{a_call_is_begun_once_and_remembered_with_its_answer, of_calls_begun_at_once_one_is_done};
use credentials::{
    a_login_by_the_provider_is_taken_once, a_new_password_ends_the_other_sessions, keys_end_and_are_listed,
    sessions_make_room_and_end, uses_are_noted_and_never_go_back, what_has_ended_is_removed_in_batches,
    what_was_seen_of_a_user_before_a_change_begins_no_session_and_sets_no_password,
    wrong_passwords_are_counted_and_forgotten,
};

/// A moment.
const NOW: i64 = 1_790_000_000_000_000;

fn grant(role: &str, namespace: &str) -> Grant {
    Grant {
        role: role.to_owned(),
        namespaces: vec![namespace.to_owned()],
    }
}

fn person(name: &str, grants: Vec<Grant>) -> NewUser {
    NewUser {
        name: name.to_owned(),
        display_name: format!("{name} of the test"),
        kind: UserKind::Person,
        grants,
        password: Some(Secret::new("a hash")),
        subject: None,
        at: NOW,
    }
}

fn role(name: &str) -> RoleRow {
    RoleRow {
        name: name.to_owned(),
        description: "words".to_owned(),
        permissions: vec!["logs.read".to_owned()],
        created_at: NOW,
        updated_at: NOW,
        version: 0,
    }
}

/// A key of a user that was made at a moment.
fn key(user: &str, at: i64) -> KeyRow {
    let issued = tokens::issue(Kind::Key, at, &tokens::system_random()).expect("a key");
    KeyRow {
        id: issued.id,
        digest: issued.digest,
        description: "of the test".to_owned(),
        user: user.to_owned(),
        grants: vec![grant("viewer", "team-a")],
        queues: vec!["gpu".to_owned()],
        created_at: at,
        creator: "user:anna".to_owned(),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    }
}

/// A session of a user that began at a moment and lasts for an hour.
fn session(user: &str, at: i64) -> SessionRow {
    let issued = tokens::issue(Kind::Session, at, &tokens::system_random()).expect("a token");
    SessionRow {
        id: issued.id,
        digest: issued.digest,
        user: user.to_owned(),
        method: Method::Password,
        client: "a browser".to_owned(),
        address: "192.0.2.1".to_owned(),
        grants: vec![grant("viewer", "*")],
        created_at: at,
        expires_at: at + 3_600_000_000,
        last_used_at: at,
    }
}

/// Why something was refused.
fn refused<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> Refused {
    match outcome.expect_err("it should have been refused") {
        StoreError::Refused(why) => why,
        other => panic!("not a refusal: {other}"),
    }
}

nexus_service::conformance! {
    adapters: { sqlite: crate::store::sqlite::SqliteStore::open, postgres: in_postgres },
    tests: [
        users_page_by_their_bytes,
        what_a_user_changes_to_is_checked_and_counted,
        an_administrator_is_always_left,
        roles_are_kept_while_somebody_has_them,
        people_of_the_provider_are_known_again,
        the_claim_works_once_and_only_with_the_last_token,
        of_claims_at_once_one_is_done,
        keys_end_and_are_listed,
        sessions_make_room_and_end,
        a_new_password_ends_the_other_sessions,
        what_was_seen_of_a_user_before_a_change_begins_no_session_and_sets_no_password,
        uses_are_noted_and_never_go_back,
        wrong_passwords_are_counted_and_forgotten,
        a_login_by_the_provider_is_taken_once,
        a_call_is_begun_once_and_remembered_with_its_answer,
        of_calls_begun_at_once_one_is_done,
        what_has_ended_is_removed_in_batches,
        changes_tell_in_their_transaction_or_not_at_all,
        appending_at_once_makes_one_chain,
        entries_are_filtered_and_page,
        history_is_not_changed,
        whoever_tampers_with_a_row_is_found,
        old_history_goes_behind_an_anchor,
    ],
}

/// A store in a database of its own.
async fn in_postgres(_: &Path) -> Result<PostgresStore, StoreError> {
    let server = nexus_servers::Postgres::shared().expect("a private Postgres");
    let url = server.fresh_database().await.expect("a database");
    let store = PostgresStore::connect(&url, Options::default()).await?;
    store.migrate().await?;
    store.verify().await?;
    Ok(store)
}
