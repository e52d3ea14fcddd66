//! The guard at a door: finds out who calls, whether they may, and about which namespace the call is.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::request::Parts;
use nexus_api::error::ApiError;
use nexus_api::method::{LoadClass, Method};
use nexus_api::namespace::{METADATA, Namespace};
use nexus_api::{ErrorReason, namespace};
use nexus_mesh::Clock;
use nexus_mesh::gate::{Ended, Gate};
use tonic::Status;

use crate::Caller;
use crate::authorize::{authorize, is_public};
use crate::credential::{invalid, shown};
use crate::rates::Rates;
use crate::service_key::{PREFIX, ServiceKeys};
use crate::verify::{Known, Verify};

/// How often it is looked whether the caller of a stream may still have it; what was revoked ends within a minute.
const LOOK: Duration = Duration::from_secs(20);

const CALLS: &str = "nexus_auth_calls_total";

/// Describes the metrics; to be called once at the start.
pub fn describe() {
    metrics::describe_counter!(CALLS, "Calls that came to the door, by what became of them there.");
}

/// Decides who is let in. Cheap to clone.
#[derive(Clone)]
pub struct Guard(Arc<Mode>);

enum Mode {
    /// Everybody is, as whoever uses this machine.
    Open(Caller),
    Checked(Box<Checked>),
}

/// What it takes to find out who calls.
struct Checked {
    keys: ServiceKeys,
    known: Arc<Known>,
    clock: Clock,
    rates: Rates,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_open() { "Guard(open)" } else { "Guard" })
    }
}

impl Guard {
    /// Lets everybody in, as somebody who may do everything.
    #[must_use]
    pub fn open() -> Self {
        Self(Arc::new(Mode::Open(Caller::local())))
    }

    /// Lets in who shows a credential that `verify` knows, and processes that have one of the keys, as often as `rates`
    /// say.
    #[must_use]
    pub fn checked(keys: ServiceKeys, verify: Arc<dyn Verify>, rates: Rates, clock: Clock) -> Self {
        let checked = Checked {
            keys,
            known: Arc::new(Known::new(verify)),
            clock,
            rates,
        };
        Self(Arc::new(Mode::Checked(Box::new(checked))))
    }

    /// Whether it lets everybody in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(*self.0, Mode::Open(_))
    }

    async fn look(&self, method: &'static Method, call: &mut Parts) -> Result<Option<Ended>, ApiError> {
        let Checked {
            keys,
            known,
            clock,
            rates,
        } = match &*self.0 {
            Mode::Open(local) => {
                call.extensions.insert(local.clone());
                return Ok(None);
            }
            Mode::Checked(checked) => checked.as_ref(),
        };
        if is_public(method) {
            call.extensions.remove::<Caller>();
            return Ok(None);
        }
        let critical = method.load_class == LoadClass::Critical;
        let credential = shown(&call.headers)?;
        let asked = call.extensions.get::<Caller>().cloned();
        let is_new = asked.is_none();
        let caller = match (asked, credential) {
            // Only code of this process can have put it there: it has been let in already, and counted.
            (Some(caller), _) => caller,
            (None, None) => return Err(none()),
            (None, Some(token)) if token.starts_with(PREFIX) => of_service(keys, token, clock)?,
            (None, Some(credential)) => known.who(credential, critical).await?,
        };
        let named = named(call)?;
        let namespace = authorize(method, &caller, named.as_ref())?;
        if is_new {
            rates.check(method, &caller, &namespace)?;
        }
        if named.is_none() && namespace != namespace::DEFAULT {
            let header = HeaderValue::from_str(&namespace).map_err(|_| invalid("its namespace is none".to_owned()))?;
            call.headers.insert(METADATA, header);
        }
        let lasting = |token: &&str| !method.unary && !token.starts_with(PREFIX);
        let ended = shown(&call.headers)?.filter(lasting).map(|credential| {
            let (known, namespace) = (Arc::clone(known), namespace.parse().ok());
            let ended: Ended = Box::pin(ended(known, method, credential.to_owned(), namespace));
            ended
        });
        drop(namespace);
        call.extensions.insert(caller);
        Ok(ended)
    }
}

#[tonic::async_trait]
impl Gate for Guard {
    async fn admit(&self, method: &'static Method, call: &mut Parts) -> Result<Option<Ended>, Status> {
        let looked = self.look(method, call).await;
        let outcome = match looked.as_ref().map_err(ApiError::reason) {
            Ok(_) => "admitted",
            Err(ErrorReason::CredentialInvalid) => "credential_invalid",
            Err(ErrorReason::PermissionMissing) => "permission_missing",
            Err(ErrorReason::AccessUnavailable) => "access_unavailable",
            Err(ErrorReason::RateLimited) => "rate_limited",
            Err(_) => "malformed",
        };
        metrics::counter!(CALLS, "outcome" => outcome).increment(1);
        Ok(looked?)
    }
}

/// The namespace that a call names.
fn named(call: &Parts) -> Result<Option<Namespace>, ApiError> {
    let Some(name) = call.headers.get(METADATA) else {
        return Ok(None);
    };
    let wrong = |problem: String| ApiError::field(METADATA, problem);
    // The handler reads the same header, and refuses a second one as well.
    if call.headers.get_all(METADATA).iter().nth(1).is_some() {
        return Err(wrong("is said more than once".to_owned()));
    }
    let name = name.to_str().map_err(|_| wrong("is not ASCII text".to_owned()))?;
    let named = name
        .parse()
        .map_err(|error: namespace::NotANamespace| wrong(error.to_string()))?;
    Ok(Some(named))
}

/// A process of this NEXUS, by its token.
fn of_service(keys: &ServiceKeys, token: &str, clock: &Clock) -> Result<Caller, ApiError> {
    let now = u64::try_from(clock() / 1_000_000).unwrap_or_default();
    let unknown = "the token of a service is not made with auth.service_key, or a worker's with auth.worker_key, as they \
                   are set here, or it has ended";
    keys.verify(token, now).ok_or_else(|| invalid(unknown.to_owned()))
}

fn none() -> ApiError {
    invalid("there is no credential; show one as `authorization: Bearer <API key or session token>`".to_owned())
}

/// Comes when a stream's caller may no longer have it. While nobody can be asked it goes on.
async fn ended(known: Arc<Known>, method: &'static Method, credential: String, namespace: Option<Namespace>) -> Status {
    loop {
        tokio::time::sleep(LOOK).await;
        let looked = known.who(&credential, true).await;
        let allowed = looked.and_then(|caller| authorize(method, &caller, namespace.as_ref()).map(drop));
        match allowed {
            Ok(()) => {}
            Err(error) if error.reason() == ErrorReason::AccessUnavailable => {}
            Err(error) => return error.into(),
        }
    }
}

#[cfg(test)]
mod tests;
