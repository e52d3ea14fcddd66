//! Coming in: checking a password within what may be tried, and beginning a session.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nexus_api::access::v1::{Identity, Session};
use nexus_api::error::ApiError;
use tonic::Status;

use crate::Context;
use crate::convert;
use crate::error::{About, about, locked, login_refused, randomness, storage};
use crate::identify;
use crate::lockout::{OF_ADDRESS, OF_USER, Policy};
use crate::powers::Grant;
use crate::store::{Method, SessionRow, UserRow, failures_of_address, failures_of_user};
use crate::tokens::{self, Kind, Secret};

/// Where somebody logs in from.
#[derive(Debug, Clone, Default)]
pub(crate) struct From {
    /// As it names itself.
    pub(crate) client: String,
    /// The address, where it is known.
    pub(crate) address: Option<IpAddr>,
}

/// A session that is to begin, and its token.
pub(crate) struct Beginning {
    pub(crate) row: SessionRow,
    pub(crate) token: Secret,
}

/// A session that has begun.
pub(crate) struct Begun {
    pub(crate) token: String,
    pub(crate) session: Session,
    pub(crate) identity: Identity,
}

/// Why somebody did not come in, for the metric.
#[derive(Debug)]
pub(crate) enum Kept {
    Wrong,
    Locked(Duration),
    Failed(Status),
}

impl Kept {
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Locked(_) => "locked",
            Self::Failed(_) => "failed",
        }
    }
}

impl std::convert::From<Kept> for Status {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Wrong => login_refused().into(),
            Kept::Locked(wait) => locked(wait).into(),
            Kept::Failed(status) => status,
        }
    }
}

fn failed(error: impl Into<ApiError>) -> Kept {
    Kept::Failed(error.into().into())
}

/// The user of a name and a password. Whoever is not there takes as long and gets the same words as a wrong password, and
/// is locked out like anybody.
pub(crate) async fn check_password(
    context: &Context,
    name: &str,
    password: &str,
    from: &From,
) -> Result<UserRow, Kept> {
    let store = &context.store;
    let mut watched: Vec<(String, &Policy)> = vec![(failures_of_user(name), &OF_USER)];
    let address = from.address.filter(is_of_one);
    watched.extend(address.map(|address| (failures_of_address(&address.to_string()), &OF_ADDRESS)));
    // With the turn: whoever tries many at once has no more tries than there are threads.
    let mut turn = context.passwords.turn(address).await.map_err(failed)?;
    let now = (context.clock)();
    let user = store.user(name).await.map_err(|error| Kept::Failed(storage(error)))?;
    if let Some(user) = &user {
        // What nobody is called is not said: it may be a password that was typed into the wrong field.
        context.origin.is_about("user", &user.name);
    }
    let mut locks = false;
    for (of, policy) in &watched {
        let failures = store.failures(of).await.map_err(|error| Kept::Failed(storage(error)))?;
        locks |= policy.failed(failures, now).locked(now).is_some();
        if let Some(until) = failures.and_then(|failures| failures.locked(now)) {
            return Err(Kept::Locked(span(until - now)));
        }
    }
    let hash = user.as_ref().and_then(|user| user.password.as_ref());
    let verified = context
        .passwords
        .verify(&mut turn, password, hash)
        .await
        .map_err(failed)?;
    match user {
        // One who is disabled is told nothing that others are not told.
        Some(user) if verified && !user.disabled => return Ok(user),
        _ => {}
    }
    let mut telling = Some(context.telling_of_lock(user.as_ref().filter(|_| locks)));
    for (of, policy) in &watched {
        // Who is locked out is told once, with the first.
        let store = telling.take().unwrap_or_else(|| Arc::clone(store));
        let noted = store.note_failure(of, policy, now).await;
        noted.map_err(|error| Kept::Failed(storage(error)))?;
    }
    Err(Kept::Wrong)
}

/// Whether an address is that of whoever logs in. One of a private network is a gateway's or balancer's as a rule: to lock it
/// would lock everybody out.
fn is_of_one(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let shared = address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64;
            !(address.is_loopback() || address.is_private() || address.is_link_local() || shared)
        }
        IpAddr::V6(address) => !(address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()),
    }
}

fn span(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

/// Prepares a session of a user.
pub(crate) fn prepare(
    context: &Context,
    user: &str,
    method: Method,
    grants: Vec<Grant>,
    from: &From,
) -> Result<Beginning, Status> {
    let now = (context.clock)();
    let issued = tokens::issue(Kind::Session, now, &context.random).map_err(randomness)?;
    let lifetime = i64::try_from(context.session_lifetime.as_micros()).unwrap_or(i64::MAX);
    Ok(Beginning {
        row: SessionRow {
            id: issued.id,
            digest: issued.digest,
            user: user.to_owned(),
            method,
            client: from.client.clone(),
            address: from.address.map(|address| address.to_string()).unwrap_or_default(),
            grants,
            created_at: now,
            expires_at: now.saturating_add(lifetime),
            last_used_at: now,
        },
        token: issued.token,
    })
}

/// Begins a session of a user.
pub(crate) async fn begin(
    context: &Context,
    user: &UserRow,
    method: Method,
    grants: Vec<Grant>,
    from: &From,
) -> Result<Begun, Status> {
    let beginning = prepare(context, &user.name, method, grants, from)?;
    let begun = context
        .telling_as(user, "session", &beginning.row.id)
        .begin_session(&beginning.row, user.version)
        .await;
    begun.map_err(about(About::Logins))?;
    told(context, user, beginning).await
}

/// What is said of a session that has begun, once.
pub(crate) async fn told(context: &Context, user: &UserRow, beginning: Beginning) -> Result<Begun, Status> {
    let identity = identify::of_session(&*context.store, &beginning.row, user).await;
    Ok(Begun {
        token: beginning.token.expose().to_owned(),
        identity: identity.map_err(storage)?,
        session: convert::session(beginning.row),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_many_share_are_not_locked() {
        for (address, counts) in [
            ("198.51.100.7", true),
            ("2001:db8::1", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("192.168.0.1", false),
            ("100.64.0.1", false),
            ("169.254.1.1", false),
            ("::1", false),
            ("fd00::1", false),
            ("fe80::1", false),
        ] {
            assert_eq!(is_of_one(&address.parse().expect("an address")), counts, "{address}");
        }
    }
}
