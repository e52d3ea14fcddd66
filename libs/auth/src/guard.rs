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
use nexus_mesh::gate::{Admitted, Answered, Ended, Gate};
use tonic::Status;

use crate::Caller;
use crate::arrival::{Arrival, Denial, Witness};
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
pub struct Guard {
    mode: Arc<Mode>,
    witness: Option<Arc<dyn Witness>>,
}

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
        Self::of(Mode::Open(Caller::local()))
    }

    fn of(mode: Mode) -> Self {
        Self {
            mode: Arc::new(mode),
            witness: None,
        }
    }

    /// The same, where somebody hears of every call that is refused.
    #[must_use]
    pub fn witnessed(self, witness: Arc<dyn Witness>) -> Self {
        Self {
            witness: Some(witness),
            ..self
        }
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
        Self::of(Mode::Checked(Box::new(checked)))
    }

    /// Whether it lets everybody in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(*self.mode, Mode::Open(_))
    }

    async fn look(&self, method: &'static Method, call: &mut Parts) -> Result<Option<Ended>, ApiError> {
        let Checked {
            keys,
            known,
            clock,
            rates,
        } = match &*self.mode {
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
        let caller: Caller = match (asked, credential) {
            // Only code of this process can have put it there: it has been let in already, and counted.
            (Some(caller), _) => caller,
            (None, None) => return Err(none()),
            (None, Some(token)) if token.starts_with(PREFIX) => of_service(keys, token, clock)?,
            (None, Some(credential)) => known.who(credential, critical).await?,
        };
        // Also where it is not let in: somebody may hear who was refused.
        call.extensions.insert(caller.clone());
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
        Ok(ended)
    }

    /// Notes how a call comes, for handlers and for whoever hears that it is refused.
    fn arrive(&self, method: &'static Method, call: &mut Parts) -> Arrival {
        let is_ours = |token: &str| match &*self.mode {
            Mode::Open(_) => false,
            Mode::Checked(checked) => {
                let Checked { keys, clock, .. } = checked.as_ref();
                of_service(keys, token, clock).is_ok_and(|caller| caller.is_service())
            }
        };
        let arrival = Arrival::at_the_door(method, call, is_ours);
        call.extensions.insert(arrival.clone());
        arrival
    }

    /// Tells of a call that was refused.
    fn refused(&self, arrival: Arrival, call: &Parts, reason: ErrorReason) {
        if let Some(witness) = self.witness.as_ref().filter(|_| is_denial(reason)) {
            witness.denied(denial(arrival, call, reason));
        }
    }

    /// Hears whether a call that was let in is refused by whoever answers it.
    fn listen(&self, arrival: &Arrival, call: &Parts) -> Option<Answered> {
        let witness = Arc::clone(self.witness.as_ref()?);
        // What services are answered is about somebody whom another door has refused.
        if call.extensions.get::<Caller>().is_some_and(Caller::is_service) {
            return None;
        }
        let denial = denial(arrival.clone(), call, ErrorReason::Unspecified);
        Some(Box::new(move |headers| {
            if !headers.contains_key("grpc-status") {
                return;
            }
            let status = Status::from_header_map(headers);
            let reason = status.as_ref().and_then(nexus_api::error::reason_of);
            if let Some(reason) = reason.filter(|reason| is_denial(*reason)) {
                witness.denied(Denial { reason, ..denial });
            }
        }))
    }
}

/// Whether a refusal is one for the audit log: somebody was not who they said, or may not do what they asked.
fn is_denial(reason: ErrorReason) -> bool {
    matches!(
        reason,
        ErrorReason::CredentialInvalid | ErrorReason::PermissionMissing | ErrorReason::LoginRefused
    )
}

fn denial(arrival: Arrival, call: &Parts, reason: ErrorReason) -> Denial {
    let named = named(call).ok().flatten();
    Denial {
        arrival,
        caller: call.extensions.get::<Caller>().cloned(),
        namespace: named.map(|named| named.to_string()).unwrap_or_default(),
        reason,
    }
}

#[tonic::async_trait]
impl Gate for Guard {
    async fn admit(&self, method: &'static Method, call: &mut Parts) -> Result<Admitted, Status> {
        let arrival = self.arrive(method, call);
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
        match looked {
            Ok(ended) => Ok(Admitted {
                ended,
                answered: self.listen(&arrival, call),
            }),
            Err(refusal) => {
                self.refused(arrival, call, refusal.reason());
                Err(refusal.into())
            }
        }
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
