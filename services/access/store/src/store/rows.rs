//! Rows as the port's words have them. Both databases have the same columns, so both adapters read them by this.

use crate::powers::Grant;
use crate::store::{Method, StoreError, UserKind};
use crate::tokens::Digest;

pub(super) fn database(error: sqlx::Error) -> StoreError {
    StoreError::Database(nexus_storage::Error::from(error))
}

pub(super) fn kind_number(kind: UserKind) -> i64 {
    match kind {
        UserKind::Person => 1,
        UserKind::ServiceAccount => 2,
    }
}

pub(super) fn kind(number: i64) -> Result<UserKind, StoreError> {
    match number {
        1 => Ok(UserKind::Person),
        2 => Ok(UserKind::ServiceAccount),
        _ => Err(StoreError::Inconsistent(format!("a user is of the kind {number}"))),
    }
}

pub(super) fn method_number(method: Method) -> i64 {
    match method {
        Method::Password => 1,
        Method::Oidc => 2,
    }
}

pub(super) fn method(number: i64) -> Result<Method, StoreError> {
    match number {
        1 => Ok(Method::Password),
        2 => Ok(Method::Oidc),
        _ => Err(StoreError::Inconsistent(format!(
            "a session began by the method {number}"
        ))),
    }
}

/// Grants and names as they are stored: as JSON.
pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Inconsistent(error.to_string()))
}

pub(super) fn grants(text: &str) -> Result<Vec<Grant>, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Inconsistent(format!("grants: {error}")))
}

pub(super) fn names(text: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Inconsistent(format!("a list of names: {error}")))
}

pub(super) fn digest(bytes: &[u8]) -> Result<Digest, StoreError> {
    Digest::stored(bytes).ok_or_else(|| StoreError::Inconsistent("a digest is of another length".to_owned()))
}

/// The functions that read a database's rows.
macro_rules! readers {
    ($row:ty) => {
        use sqlx::Row as _;

        use crate::lockout::Failures;
        use crate::store::calls::CallRow;
        use crate::store::rows::{self, database};
        use crate::store::{KeyRow, OidcLogin, RoleRow, SessionRow, StoreError, UserRow};
        use crate::tokens::Secret;

        pub(super) fn user(row: &$row) -> Result<UserRow, StoreError> {
            let kind: i64 = row.try_get("kind").map_err(database)?;
            let grants: String = row.try_get("grants").map_err(database)?;
            let password: Option<String> = row.try_get("password").map_err(database)?;
            Ok(UserRow {
                name: row.try_get("name").map_err(database)?,
                display_name: row.try_get("display_name").map_err(database)?,
                kind: rows::kind(kind)?,
                grants: rows::grants(&grants)?,
                disabled: row.try_get("disabled").map_err(database)?,
                password: password.map(Secret::new),
                subject: row.try_get("subject").map_err(database)?,
                created_at: row.try_get("created_at").map_err(database)?,
                updated_at: row.try_get("updated_at").map_err(database)?,
                last_login_at: row.try_get("last_login_at").map_err(database)?,
                version: row.try_get("version").map_err(database)?,
            })
        }

        pub(super) fn role(row: &$row) -> Result<RoleRow, StoreError> {
            let permissions: String = row.try_get("permissions").map_err(database)?;
            Ok(RoleRow {
                name: row.try_get("name").map_err(database)?,
                description: row.try_get("description").map_err(database)?,
                permissions: rows::names(&permissions)?,
                created_at: row.try_get("created_at").map_err(database)?,
                updated_at: row.try_get("updated_at").map_err(database)?,
                version: row.try_get("version").map_err(database)?,
            })
        }

        pub(super) fn key(row: &$row) -> Result<KeyRow, StoreError> {
            let digest: Vec<u8> = row.try_get("digest").map_err(database)?;
            let grants: String = row.try_get("grants").map_err(database)?;
            let queues: String = row.try_get("queues").map_err(database)?;
            Ok(KeyRow {
                id: row.try_get("id").map_err(database)?,
                digest: rows::digest(&digest)?,
                description: row.try_get("description").map_err(database)?,
                user: row.try_get("user_name").map_err(database)?,
                grants: rows::grants(&grants)?,
                queues: rows::names(&queues)?,
                created_at: row.try_get("created_at").map_err(database)?,
                creator: row.try_get("creator").map_err(database)?,
                expires_at: row.try_get("expires_at").map_err(database)?,
                revoked_at: row.try_get("revoked_at").map_err(database)?,
                last_used_at: row.try_get("last_used_at").map_err(database)?,
            })
        }

        pub(super) fn session(row: &$row) -> Result<SessionRow, StoreError> {
            let digest: Vec<u8> = row.try_get("digest").map_err(database)?;
            let method: i64 = row.try_get("method").map_err(database)?;
            let grants: String = row.try_get("grants").map_err(database)?;
            Ok(SessionRow {
                id: row.try_get("id").map_err(database)?,
                digest: rows::digest(&digest)?,
                user: row.try_get("user_name").map_err(database)?,
                method: rows::method(method)?,
                client: row.try_get("client").map_err(database)?,
                address: row.try_get("address").map_err(database)?,
                grants: rows::grants(&grants)?,
                created_at: row.try_get("created_at").map_err(database)?,
                expires_at: row.try_get("expires_at").map_err(database)?,
                last_used_at: row.try_get("last_used_at").map_err(database)?,
            })
        }

        pub(super) fn call(row: &$row) -> Result<CallRow, StoreError> {
            Ok(CallRow {
                fingerprint: row.try_get("fingerprint").map_err(database)?,
                owner: row.try_get("owner").map_err(database)?,
                answer: row.try_get("answer").map_err(database)?,
                begun_at: row.try_get("begun_at").map_err(database)?,
            })
        }

        pub(super) fn failures(row: &$row) -> Result<Failures, StoreError> {
            let count: i64 = row.try_get("failures").map_err(database)?;
            Ok(Failures {
                count: u32::try_from(count).unwrap_or(u32::MAX),
                locked_until: row.try_get("locked_until").map_err(database)?,
                last_at: row.try_get("last_at").map_err(database)?,
            })
        }

        pub(super) fn login(row: &$row) -> Result<OidcLogin, StoreError> {
            let state: Vec<u8> = row.try_get("state").map_err(database)?;
            let nonce: Vec<u8> = row.try_get("nonce").map_err(database)?;
            let verifier: String = row.try_get("verifier").map_err(database)?;
            Ok(OidcLogin {
                state: rows::digest(&state)?,
                nonce: rows::digest(&nonce)?,
                verifier: Secret::new(verifier),
                redirect_uri: row.try_get("redirect_uri").map_err(database)?,
                expires_at: row.try_get("expires_at").map_err(database)?,
            })
        }
    };
}

pub(super) use readers;
