//! What a credential is worth: the identity that it proves, as users and roles are at this moment.

use nexus_api::access::v1::{Identity, IdentityKind};
use nexus_api::time::timestamp;

use crate::caller::{KEY, SESSION, USER};
use crate::powers::{Grant, Powers};
use crate::roles::{self, Roles};
use crate::store::{KeyRow, SessionRow, Store, StoreError, UserKind, UserRow};
use crate::tokens::Digest;

/// What stands before who a program is at the provider, and before the id of a token of it.
const PROGRAM: &str = "oidc:";
const TOKEN: &str = "token:";

/// The roles that grants name, as they are now.
///
/// # Errors
/// When the store fails.
pub(crate) async fn roles_of<'a>(
    store: &dyn Store,
    grants: impl IntoIterator<Item = &'a Grant>,
) -> Result<Roles, StoreError> {
    let mut names: Vec<String> = grants.into_iter().map(|grant| grant.role.clone()).collect();
    names.retain(|name| roles::built_in(name).is_none());
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Ok(Roles::default());
    }
    let found = store.roles_named(&names).await?;
    let found = found
        .iter()
        .map(|role| (role.name.as_str(), role.permissions.as_slice()));
    Ok(Roles::with(found))
}

/// What grants give.
///
/// # Errors
/// When the store fails.
pub(crate) async fn powers_of(store: &dyn Store, grants: &[Grant]) -> Result<Powers, StoreError> {
    let roles = roles_of(store, grants).await?;
    Ok(Powers::of_grants(grants, &roles))
}

/// Whose an API key is: what both the key and its user may do.
///
/// # Errors
/// When the store fails.
pub(crate) async fn of_key(store: &dyn Store, key: &KeyRow, user: &UserRow) -> Result<Identity, StoreError> {
    let roles = roles_of(store, key.grants.iter().chain(&user.grants)).await?;
    let powers = Powers::of_grants(&key.grants, &roles).common(&Powers::of_grants(&user.grants, &roles));
    Ok(Identity {
        credential: format!("{KEY}{}", key.id),
        queues: key.queues.clone(),
        expire_time: key.expires_at.map(timestamp),
        ..of_user(user, &powers)
    })
}

/// Whose a session is: what its user may do, and what the provider's groups gave at the login.
///
/// # Errors
/// When the store fails.
pub(crate) async fn of_session(
    store: &dyn Store,
    session: &SessionRow,
    user: &UserRow,
) -> Result<Identity, StoreError> {
    let grants: Vec<Grant> = user.grants.iter().chain(&session.grants).cloned().collect();
    let powers = powers_of(store, &grants).await?;
    Ok(Identity {
        credential: format!("{SESSION}{}", session.id),
        expire_time: Some(timestamp(session.expires_at)),
        ..of_user(user, &powers)
    })
}

/// A program that the provider knows and NEXUS does not.
pub(crate) fn of_program(subject: &str, powers: &Powers) -> Identity {
    Identity {
        subject: format!("{PROGRAM}{subject}"),
        display_name: subject.to_owned(),
        kind: IdentityKind::ServiceAccount.into(),
        allowances: powers.allowances(),
        ..Identity::default()
    }
}

/// How a token of the provider is called: by its own id, or by a digest when it has none that can be shown.
pub(crate) fn of_token(id: Option<&str>, token: &str) -> String {
    let shown = id.filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    match shown {
        Some(id) => format!("{TOKEN}{id}"),
        None => {
            let digest = Digest::of(token);
            let start: String = digest
                .as_bytes()
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            format!("{TOKEN}{start}")
        }
    }
}

/// A user with some powers.
pub(crate) fn of_user(user: &UserRow, powers: &Powers) -> Identity {
    let kind = match user.kind {
        UserKind::Person => IdentityKind::User,
        UserKind::ServiceAccount => IdentityKind::ServiceAccount,
    };
    let display_name = match user.display_name.as_str() {
        "" => &user.name,
        name => name,
    };
    Identity {
        subject: format!("{USER}{}", user.name),
        display_name: display_name.to_owned(),
        kind: kind.into(),
        allowances: powers.allowances(),
        ..Identity::default()
    }
}
