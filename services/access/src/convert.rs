//! Rows as the contract's messages.

use nexus_api::access::v1 as api;
use nexus_api::time::timestamp;

use crate::powers::Grant;
use crate::roles::BuiltIn;
use crate::store::{KeyRow, Method, RoleRow, SessionRow, UserKind, UserRow};

/// The etag of a role that is built in, which never changes.
const BUILT_IN: i64 = 0;

pub(crate) fn etag(version: i64) -> String {
    format!("v{version}")
}

/// The version that an etag names; nothing when it is none of ours.
pub(crate) fn version(etag: &str) -> Option<i64> {
    etag.strip_prefix('v')?.parse().ok()
}

fn grants(grants: Vec<Grant>) -> Vec<api::Grant> {
    let each = grants.into_iter().map(|grant| api::Grant {
        role: grant.role,
        namespaces: grant.namespaces,
    });
    each.collect()
}

/// A user, and until when their password is refused.
pub(crate) fn user(row: UserRow, locked_until: Option<i64>) -> api::User {
    let kind = match row.kind {
        UserKind::Person => api::UserKind::Person,
        UserKind::ServiceAccount => api::UserKind::ServiceAccount,
    };
    api::User {
        etag: etag(row.version),
        name: row.name,
        display_name: row.display_name,
        kind: kind.into(),
        grants: grants(row.grants),
        disabled: row.disabled,
        has_password: row.password.is_some(),
        locked_until_time: locked_until.map(timestamp),
        create_time: Some(timestamp(row.created_at)),
        update_time: Some(timestamp(row.updated_at)),
        last_login_time: row.last_login_at.map(timestamp),
    }
}

pub(crate) fn role(row: RoleRow) -> api::Role {
    api::Role {
        etag: etag(row.version),
        name: row.name,
        description: row.description,
        permissions: row.permissions,
        built_in: false,
        create_time: Some(timestamp(row.created_at)),
        update_time: Some(timestamp(row.updated_at)),
    }
}

pub(crate) fn built_in(role: &BuiltIn) -> api::Role {
    api::Role {
        name: role.name.to_owned(),
        description: role.description.to_owned(),
        permissions: role
            .permissions
            .iter()
            .map(|permission| permission.name().to_owned())
            .collect(),
        built_in: true,
        create_time: None,
        update_time: None,
        etag: etag(BUILT_IN),
    }
}

pub(crate) fn key(row: KeyRow) -> api::ApiKey {
    api::ApiKey {
        id: row.id,
        description: row.description,
        user: row.user,
        grants: grants(row.grants),
        queues: row.queues,
        create_time: Some(timestamp(row.created_at)),
        creator: row.creator,
        expire_time: row.expires_at.map(timestamp),
        revoke_time: row.revoked_at.map(timestamp),
        last_use_time: row.last_used_at.map(timestamp),
    }
}

pub(crate) fn session(row: SessionRow) -> api::Session {
    let method = match row.method {
        Method::Password => api::LoginMethod::Password,
        Method::Oidc => api::LoginMethod::Oidc,
    };
    api::Session {
        id: row.id,
        user: row.user,
        method: method.into(),
        client: row.client,
        address: row.address,
        create_time: Some(timestamp(row.created_at)),
        expire_time: Some(timestamp(row.expires_at)),
        last_use_time: Some(timestamp(row.last_used_at)),
    }
}
