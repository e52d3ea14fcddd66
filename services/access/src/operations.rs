//! What callers can ask: one file a verb.

pub(crate) mod authenticate;
pub(crate) mod begin_call;
pub(crate) mod begin_oidc;
pub(crate) mod change_password;
pub(crate) mod claim;
pub(crate) mod complete_oidc;
pub(crate) mod create_key;
pub(crate) mod create_role;
pub(crate) mod create_user;
pub(crate) mod delete_role;
pub(crate) mod delete_user;
pub(crate) mod finish_call;
pub(crate) mod get_key;
pub(crate) mod get_role;
pub(crate) mod get_user;
pub(crate) mod list_keys;
pub(crate) mod list_roles;
pub(crate) mod list_sessions;
pub(crate) mod list_users;
pub(crate) mod login;
pub(crate) mod login_methods;
pub(crate) mod logout;
pub(crate) mod revoke_key;
pub(crate) mod revoke_session;
pub(crate) mod set_password;
pub(crate) mod update_role;
pub(crate) mod update_user;

use nexus_api::access::v1::User;
use nexus_api::error::ApiError;
use nexus_api::method::Permission;
use nexus_service::page;
use prost_types::FieldMask;
use tonic::Status;

use crate::caller::Caller;
use crate::error::{About, not_found, storage};
use crate::store::{UserRow, failures_of_user};
use crate::{Context, convert, identify, rules, tokens};

/// The user of a name.
async fn find_user(context: &Context, name: &str) -> Result<UserRow, Status> {
    rules::user_name("user", name)?;
    let found = context.store.user(name).await.map_err(storage)?;
    found.ok_or_else(|| not_found(About::User(name)).into())
}

/// A user as callers see them.
async fn shown(context: &Context, row: UserRow) -> Result<User, Status> {
    let failures = context.store.failures(&failures_of_user(&row.name)).await;
    let locked = failures
        .map_err(storage)?
        .and_then(|failures| failures.locked((context.clock)()));
    Ok(convert::user(row, locked))
}

/// Whoever changes a user has everything that the user has: else a password that one sets, or a role that one takes, would
/// reach further than one's own.
async fn require_power_over(context: &Context, caller: &Caller, user: &UserRow) -> Result<(), Status> {
    let powers = identify::powers_of(&*context.store, &user.grants)
        .await
        .map_err(storage)?;
    let why = format!(
        "{} has it, and only who has all that they have may change them",
        user.name
    );
    Ok(caller.require_all_of(&powers, &why)?)
}

/// The version that an etag names; any when there is none.
fn expected(etag: &str) -> Result<Option<i64>, ApiError> {
    if etag.is_empty() {
        return Ok(None);
    }
    // One that was never given is that of no version.
    Ok(Some(convert::version(etag).unwrap_or(-1)))
}

/// Whether a field is to be changed: one that the mask names, or without a mask one that is set.
fn changes(mask: Option<&FieldMask>, field: &str, is_set: bool) -> bool {
    match mask {
        Some(mask) if !mask.paths.is_empty() => mask.paths.iter().any(|path| path == field),
        _ => is_set,
    }
}

/// Refuses a mask with other fields.
fn check_mask(mask: Option<&FieldMask>, fields: &[&str]) -> Result<(), ApiError> {
    let paths = mask.map_or(&[][..], |mask| &mask.paths);
    match paths.iter().find(|path| !fields.contains(&path.as_str())) {
        Some(unknown) => {
            let problem = format!("{unknown:?} cannot be updated; fields are {}", fields.join(", "));
            Err(ApiError::field("update_mask", problem))
        }
        None => Ok(()),
    }
}

/// Whose keys or sessions a list shows: those of the user who was asked for, and for who may not see everybody's their own.
fn whose(caller: &Caller, asked: &str) -> Result<Option<String>, ApiError> {
    if !asked.is_empty() {
        rules::user_name("user", asked)?;
    }
    if caller.may(Permission::AccessRead) {
        return Ok((!asked.is_empty()).then(|| asked.to_owned()));
    }
    match caller.user() {
        Some(own) if asked.is_empty() || asked == own => Ok(Some(own.to_owned())),
        // Says what is missing to see another's.
        _ => caller.require(Permission::AccessRead).map(|()| None),
    }
}

/// An id in a page's token.
struct PageId(String);

impl std::str::FromStr for PageId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        tokens::is_id(text).then(|| Self(text.to_owned())).ok_or(())
    }
}

/// The id after which a page of a list by ids begins.
fn id_of_page(query: &str, token: &str) -> Result<Option<String>, Status> {
    Ok(page::key_as::<PageId>(query, token)?.map(|id| id.0))
}

/// Cuts what was read to a page and gives the token of the next one.
fn cut<T>(rows: &mut Vec<T>, size: u32, query: &str, key: impl Fn(&T) -> &str) -> String {
    if rows.len() <= size as usize {
        return String::new();
    }
    rows.truncate(size as usize);
    rows.last()
        .map(|last| page::token(query, key(last)))
        .unwrap_or_default()
}
