//! The storage port: what the access service asks of a database, in its own words. It is cut by what is kept; a [`Store`]
//! keeps all of it. No secret is in it: digests, and hashes of passwords.

pub mod audit;
pub mod calls;
pub mod postgres;
mod refused;
mod rows;
pub mod sqlite;
#[cfg(test)]
mod suite;

use async_trait::async_trait;

use audit::{AuditLog, Telling};
use calls::Calls;
pub use refused::{Refused, StoreError};

use crate::lockout::{Failures, Policy};
pub use crate::lockout::{failures_of_address, failures_of_user};
use crate::powers::Grant;
use crate::tokens::{Digest, Secret};

/// Users at most.
pub const MAX_USERS: i64 = 100_000;
/// Roles at most, beside those that are built in.
pub const MAX_ROLES: i64 = 1_000;
/// API keys of one user that have not ended, at most.
pub const MAX_KEYS: i64 = 1_000;
/// Sessions of one user at most; the oldest makes room for a new one.
pub const MAX_SESSIONS: i64 = 100;
/// Logins by the provider that may be under way at a time.
pub const MAX_LOGINS: i64 = 10_000;

/// Whether somebody is a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserKind {
    /// A person.
    Person,
    /// A program.
    ServiceAccount,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// The name.
    pub name: String,
    /// The name for people.
    pub display_name: String,
    /// Whether it is a person.
    pub kind: UserKind,
    /// The roles.
    pub grants: Vec<Grant>,
    /// Whether they may do nothing at present.
    pub disabled: bool,
    /// The password's hash.
    pub password: Option<Secret>,
    /// Who they are at the provider: its issuer and their `sub`.
    pub subject: Option<String>,
    /// When they were created.
    pub created_at: i64,
    /// When they were last changed.
    pub updated_at: i64,
    /// When they last logged in.
    pub last_login_at: Option<i64>,
    /// Grows with every change.
    pub version: i64,
}

/// A user who is to be created.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The name.
    pub name: String,
    /// The name for people.
    pub display_name: String,
    /// Whether it is a person.
    pub kind: UserKind,
    /// The roles.
    pub grants: Vec<Grant>,
    /// The password's hash.
    pub password: Option<Secret>,
    /// Who they are at the provider.
    pub subject: Option<String>,
    /// When.
    pub at: i64,
}

/// What is to change of a user; what is not said stays.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// The name for people.
    pub display_name: Option<String>,
    /// The roles.
    pub grants: Option<Vec<Grant>>,
    /// Whether they are disabled.
    pub disabled: Option<bool>,
    /// When.
    pub at: i64,
}

/// A role that is not built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it allows.
    pub permissions: Vec<String>,
    /// When it was created.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
    /// Grows with every change.
    pub version: i64,
}

/// An API key.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// Its id.
    pub id: String,
    /// What is kept of it.
    pub digest: Digest,
    /// What it is for.
    pub description: String,
    /// Whose it is.
    pub user: String,
    /// What may be done with it.
    pub grants: Vec<Grant>,
    /// The queues that tasks may be taken from.
    pub queues: Vec<String>,
    /// When it was created.
    pub created_at: i64,
    /// Who created it.
    pub creator: String,
    /// When it ends.
    pub expires_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// When it was last used, to a minute.
    pub last_used_at: Option<i64>,
}

/// How somebody logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// With a password.
    Password,
    /// By the provider.
    Oidc,
}

/// Somebody who is logged in.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// Its id.
    pub id: String,
    /// What is kept of its token.
    pub digest: Digest,
    /// Whose it is.
    pub user: String,
    /// How they logged in.
    pub method: Method,
    /// What they logged in from, as it names itself.
    pub client: String,
    /// The address that they logged in from; empty when it is not known.
    pub address: String,
    /// What the provider's groups add to the user's roles.
    pub grants: Vec<Grant>,
    /// When they logged in.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: i64,
    /// When it was last used, to a minute.
    pub last_used_at: i64,
}

/// A login by the provider that has begun.
#[derive(Debug, Clone)]
pub struct OidcLogin {
    /// Of the state that comes back with the code.
    pub state: Digest,
    /// Of the nonce that the token must have.
    pub nonce: Digest,
    /// What proves that whoever redeems the code is who asked for it (RFC 7636). It is of no use without the code.
    pub verifier: Secret,
    /// Where the provider sends the person back to.
    pub redirect_uri: String,
    /// When it ends.
    pub expires_at: i64,
}

/// Which keys or sessions to list, the newest first.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only those of this user.
    pub user: Option<String>,
    /// Only those that have not ended at this moment.
    pub alive_at: Option<i64>,
    /// Only those before this id.
    pub before: Option<String>,
}

/// When what has ended is removed.
#[derive(Debug, Clone, Copy)]
pub struct Cutoffs {
    /// Keys that ended before.
    pub keys: i64,
    /// Sessions that ended before.
    pub sessions: i64,
    /// Logins under way that ended before.
    pub logins: i64,
    /// Wrong passwords of before.
    pub failures: i64,
    /// Calls that are remembered until before.
    pub calls: i64,
}

/// A password that is to be set.
#[derive(Debug, Clone, Copy)]
pub struct NewPassword<'a> {
    /// Whose.
    pub user: &'a str,
    /// The version of the user that was looked at; any, when none is given.
    pub version: Option<i64>,
    /// Its hash.
    pub hash: &'a Secret,
    /// The session that does not end.
    pub keep: Option<&'a str>,
    /// When.
    pub at: i64,
}

/// Users.
#[async_trait]
pub trait Users: Send + Sync {
    /// Creates one.
    async fn create_user(&self, user: &NewUser) -> Result<UserRow, StoreError>;

    /// One.
    async fn user(&self, name: &str) -> Result<Option<UserRow>, StoreError>;

    /// The one that somebody at the provider is.
    async fn user_of_subject(&self, subject: &str) -> Result<Option<UserRow>, StoreError>;

    /// A page of them by name, those after `after`.
    async fn users(&self, after: &str, limit: u32) -> Result<Vec<UserRow>, StoreError>;

    /// Changes one, if it is found in this version (in any, when none is given).
    async fn update_user(&self, name: &str, version: Option<i64>, change: &UserChange) -> Result<UserRow, StoreError>;

    /// Sets the password of one. Their sessions end, but for one that is named, and wrong passwords are forgotten.
    async fn set_password(&self, password: &NewPassword<'_>) -> Result<(), StoreError>;

    /// Deletes one with their keys and sessions, if it is found in this version (in any, when none is given).
    async fn delete_user(&self, name: &str, version: Option<i64>) -> Result<(), StoreError>;

    /// The user that somebody at the provider is: the one who came before, else a person of that name who has neither a
    /// password nor somebody else at the provider, else a new one. Somebody else's name is [`Refused::Exists`].
    async fn welcome(&self, user: &NewUser, subject: &str) -> Result<UserRow, StoreError>;
}

/// Roles that are not built in.
#[async_trait]
pub trait StoredRoles: Send + Sync {
    /// Creates one.
    async fn create_role(&self, role: &RoleRow) -> Result<RoleRow, StoreError>;

    /// Those of these names that are there.
    async fn roles_named(&self, names: &[String]) -> Result<Vec<RoleRow>, StoreError>;

    /// A page of them by name, those after `after`.
    async fn roles(&self, after: &str, limit: u32) -> Result<Vec<RoleRow>, StoreError>;

    /// Gives one another description and other permissions, if it is found in this version.
    async fn update_role(&self, role: &RoleRow) -> Result<RoleRow, StoreError>;

    /// Deletes one that no user and no key has, if it is found in this version (in any, when none is given).
    async fn delete_role(&self, name: &str, version: Option<i64>, at: i64) -> Result<(), StoreError>;
}

/// API keys.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Creates one.
    async fn create_key(&self, key: &KeyRow) -> Result<(), StoreError>;

    /// One.
    async fn key(&self, id: &str) -> Result<Option<KeyRow>, StoreError>;

    /// A page of them.
    async fn keys(&self, wanted: &Wanted, limit: u32) -> Result<Vec<KeyRow>, StoreError>;

    /// Revokes one; one that was revoked stays as it is.
    async fn revoke_key(&self, id: &str, at: i64) -> Result<KeyRow, StoreError>;
}

/// Sessions.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Begins one of a user who is not disabled and is found in the version that was `seen`: what they showed may be worth
    /// nothing any more otherwise. Notes that they logged in. Wrong passwords are forgotten.
    async fn begin_session(&self, session: &SessionRow, seen: i64) -> Result<(), StoreError>;

    /// One.
    async fn session(&self, id: &str) -> Result<Option<SessionRow>, StoreError>;

    /// A page of them.
    async fn sessions(&self, wanted: &Wanted, limit: u32) -> Result<Vec<SessionRow>, StoreError>;

    /// Ends one now, if it has not ended yet; whether it was there.
    async fn end_session(&self, id: &str, at: i64) -> Result<bool, StoreError>;
}

/// Logging in.
#[async_trait]
pub trait Logins: Send + Sync {
    /// Wrong passwords of somebody or from somewhere.
    async fn failures(&self, of: &str) -> Result<Option<Failures>, StoreError>;

    /// One more.
    async fn note_failure(&self, of: &str, policy: &Policy, at: i64) -> Result<Failures, StoreError>;

    /// A login by the provider begins, if there is room among those that have not ended.
    async fn begin_login(&self, login: &OidcLogin, at: i64) -> Result<(), StoreError>;

    /// Takes one that has not ended; it is there no more.
    async fn take_login(&self, state: &Digest, at: i64) -> Result<Option<OidcLogin>, StoreError>;
}

/// The first administrator, and what is done in the background.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Sets the token by which somebody becomes the first administrator, and voids the one before. False when there is an
    /// administrator: then there is none.
    async fn offer_claim(&self, token: &Digest) -> Result<bool, StoreError>;

    /// That token, while there is no administrator.
    async fn offered_claim(&self) -> Result<Option<Digest>, StoreError>;

    /// Makes the first administrator and begins their session, once.
    async fn claim(&self, token: &Digest, user: &NewUser, session: &SessionRow) -> Result<UserRow, StoreError>;

    /// Notes when keys and sessions were last used.
    async fn note_uses(&self, keys: &[(String, i64)], sessions: &[(String, i64)]) -> Result<(), StoreError>;

    /// Removes what has ended, at most so much of each kind; how much of the kind of which there was most.
    async fn remove_ended(&self, cutoffs: Cutoffs, limit: u32) -> Result<u64, StoreError>;
}

/// Everything that the access service keeps.
pub trait Store:
    Users + StoredRoles + Keys + Sessions + Logins + Upkeep + Calls + AuditLog + Telling + std::fmt::Debug
{
}

impl<T: Users + StoredRoles + Keys + Sessions + Logins + Upkeep + Calls + AuditLog + Telling + std::fmt::Debug> Store
    for T
{
}
