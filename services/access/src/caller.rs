//! Who calls: what the frame found out about the credential before the operation runs. It stands in the request's
//! extensions.

use std::net::IpAddr;
use std::sync::Arc;

use nexus_api::ErrorReason;
use nexus_api::access::v1::Identity;
use nexus_api::error::ApiError;
use nexus_api::method::Permission;
use nexus_auth::Arrival;
use tonic::Request;

use crate::powers::{EVERYWHERE, Powers};

/// What stands before the name of a user, and before the id of a session.
pub const USER: &str = "user:";
/// See [`USER`].
pub const SESSION: &str = "session:";
/// What stands before the id of an API key.
pub const KEY: &str = "key:";

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    identity: Arc<Identity>,
}

impl Caller {
    /// The caller of a request.
    ///
    /// # Errors
    /// UNAUTHENTICATED when nobody was found.
    pub fn of<T>(request: &Request<T>) -> Result<Self, ApiError> {
        let caller = nexus_auth::Caller::of(request)?;
        Ok(Self {
            identity: caller.shared(),
        })
    }

    /// Somebody whose credential was verified.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            identity: Arc::new(identity),
        }
    }

    /// What is known of them.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The name of the user that they are; nothing for others.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.identity.subject.strip_prefix(USER)
    }

    /// The session whose token they show.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.identity.credential.strip_prefix(SESSION)
    }

    /// The API key that they show.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.identity.credential.strip_prefix(KEY)
    }

    /// Whether they are a user and act as such: one of the user's keys may be for very little, and has no right over what
    /// else the user has.
    #[must_use]
    pub fn is_in_person(&self, user: &str) -> bool {
        self.user() == Some(user) && self.key().is_none()
    }

    /// What they may do.
    #[must_use]
    pub fn powers(&self) -> Powers {
        Powers::of_identity(&self.identity)
    }

    /// Whether they may do something in every namespace, as what belongs to none of them needs.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        self.powers().allow(permission, EVERYWHERE)
    }

    /// The same, or an error.
    ///
    /// # Errors
    /// PERMISSION_DENIED when they may not.
    pub fn require(&self, permission: Permission) -> Result<(), ApiError> {
        if self.may(permission) {
            return Ok(());
        }
        Err(missing(permission, EVERYWHERE, "this needs it"))
    }

    /// Refuses to give what the caller has not.
    ///
    /// # Errors
    /// PERMISSION_DENIED that says what they lack.
    pub fn require_all_of(&self, powers: &Powers, why: &str) -> Result<(), ApiError> {
        match powers.beyond(&self.powers().givable()) {
            Some((permission, namespace)) => Err(missing(permission, namespace, why)),
            None => Ok(()),
        }
    }
}

fn missing(permission: Permission, namespace: &str, why: &str) -> ApiError {
    let place = match namespace {
        EVERYWHERE => "every namespace".to_owned(),
        named => format!("the namespace {named}"),
    };
    let message = format!("you have not {} in {place}: {why}", permission.name());
    ApiError::new(ErrorReason::PermissionMissing, message)
        .with("permission", permission.name())
        .with("namespace", namespace)
}

/// The address that a call came from, as far as it is known: the person's or program's own.
#[must_use]
pub fn address<T>(request: &Request<T>) -> Option<IpAddr> {
    // As the door found it: a gateway says for whom it passes a call on.
    let address = request
        .extensions()
        .get::<Arrival>()
        .and_then(|arrival| arrival.address);
    address.map(|address| address.to_canonical())
}
