//! What a handler makes an entry of: who called, what and from where. Only a call that passed a door, of somebody who is no
//! process of NEXUS, to a method whose contract says so, becomes an entry; that is decided here and nowhere else.

use std::sync::Arc;

use nexus_api::method::Audit;
use nexus_api::namespace::METADATA;
use nexus_auth::{Arrival, Caller};
use nexus_mesh::Clock;
use tokio::sync::Notify;
use tonic::Request;
use uuid::Uuid;

use crate::entry::{Actor, Entry, Object, Outcome, text};

/// Gives ids for entries of a moment, in microseconds since 1970.
pub type Ids = Arc<dyn Fn(i64) -> Uuid + Send + Sync>;

/// Ids that nobody else gives: UUIDs of version 7.
#[must_use]
pub fn system_ids() -> Ids {
    Arc::new(|at| {
        let millis = u64::try_from(at / 1_000).unwrap_or_default();
        // The last ten bytes of a random one.
        let mut random = [0; 10];
        random.copy_from_slice(&Uuid::new_v4().as_bytes()[6..]);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    })
}

/// What a service makes entries with. Cheap to clone.
#[derive(Clone)]
pub struct Recorder(Option<Arc<Tools>>);

struct Tools {
    clock: Clock,
    ids: Ids,
    written: Notify,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Recorder" } else { "Recorder(off)" })
    }
}

impl Recorder {
    /// Makes entries.
    #[must_use]
    pub fn new(clock: Clock, ids: Ids) -> Self {
        let written = Notify::new();
        Self(Some(Arc::new(Tools { clock, ids, written })))
    }

    /// Makes none: where there is no log, entries would wait for ever.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Where a call comes from; of one that is not told of nothing.
    #[must_use]
    pub fn origin<T>(&self, request: &Request<T>) -> Origin {
        let (Some(tools), Some(arrival)) = (&self.0, request.extensions().get::<Arrival>()) else {
            return Origin::none();
        };
        let caller = request.extensions().get::<Caller>();
        if arrival.method.audit != Audit::Change || caller.is_some_and(Caller::is_service) {
            return Origin::none();
        }
        let namespace = request.metadata().get(METADATA).and_then(|name| name.to_str().ok());
        Origin(Some(Arc::new(Known {
            tools: Arc::clone(tools),
            arrival: arrival.clone(),
            actor: caller.map_or_else(Actor::unknown, |caller| Actor::of(caller.identity())),
            namespace: namespace.unwrap_or(nexus_api::namespace::DEFAULT).to_owned(),
        })))
    }

    /// Comes when an entry was made.
    pub(crate) async fn made(&self) {
        match &self.0 {
            Some(tools) => tools.written.notified().await,
            None => std::future::pending().await,
        }
    }
}

/// Where a call comes from. Cheap to clone.
#[derive(Clone, Default)]
pub struct Origin(Option<Arc<Known>>);

struct Known {
    tools: Arc<Tools>,
    arrival: Arrival,
    actor: Actor,
    namespace: String,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Origin")
    }
}

impl Origin {
    /// Of a call that the log is not told of.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// The entry of a change that the call makes to something that belongs to its namespace.
    #[must_use]
    pub fn entry(&self, object: Object, request_id: &str) -> Option<Entry> {
        let known = self.0.as_deref()?;
        let at = (known.tools.clock)();
        let address = known.arrival.address;
        let entry = Entry {
            id: (known.tools.ids)(at),
            at,
            namespace: text(&known.namespace),
            actor: known.actor.clone(),
            method: known.arrival.method.path.to_owned(),
            permission: known.arrival.method.permission.name().to_owned(),
            object,
            outcome: Outcome::Allowed,
            reason: String::new(),
            address: address.map(|address| address.to_string()).unwrap_or_default(),
            request_id: text(request_id),
            trace_id: text(&known.arrival.trace_id),
            count: 1,
        };
        // Whoever ships it looks in a moment, when it is stored.
        known.tools.written.notify_one();
        Some(entry)
    }

    /// The same for what belongs to no namespace.
    #[must_use]
    pub fn entry_of_all(&self, object: Object) -> Option<Entry> {
        self.entry(object, "").map(|entry| Entry {
            namespace: String::new(),
            ..entry
        })
    }

    /// Says what the call turned out to be about, should it be refused. Only what exists: what somebody typed may be a
    /// secret.
    pub fn is_about(&self, kind: &str, name: &str) {
        if let Some(known) = &self.0 {
            known.arrival.is_about(kind, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use nexus_api::access::v1::Identity;
    use nexus_api::method::method;

    use super::*;

    const APPLY: &str = "/nexus.definitions.v1.DefinitionsService/ApplyWorkflow";
    const GET: &str = "/nexus.definitions.v1.DefinitionsService/GetWorkflow";

    fn recorder() -> Recorder {
        Recorder::new(Arc::new(|| 1_790_000_000_000_000), system_ids())
    }

    fn call(path: Option<&str>, caller: Option<Caller>) -> Request<()> {
        let mut request = Request::new(());
        if let Some(path) = path {
            let address = Some([192, 0, 2, 7].into());
            let arrival = Arrival::new(method(path).expect("a method"), address);
            request.extensions_mut().insert(arrival);
        }
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        request
    }

    fn anna() -> Option<Caller> {
        Some(Caller::new(Identity {
            subject: "user:anna".to_owned(),
            credential: "key:1".to_owned(),
            ..Identity::default()
        }))
    }

    fn told(request: &Request<()>) -> Option<Entry> {
        recorder().origin(request).entry(Object::new("workflow", "etl"), "r")
    }

    #[test]
    fn a_change_that_somebody_asks_for_from_outside_is_told_with_who_what_and_where() {
        let mut request = call(Some(APPLY), anna());
        request.metadata_mut().insert(METADATA, "team".parse().expect("ascii"));
        let entry = told(&request).expect("an entry");
        assert_eq!(
            (entry.method.as_str(), entry.permission.as_str()),
            (APPLY, "workflows.write")
        );
        assert_eq!(
            (entry.actor.id.as_str(), entry.actor.credential.as_str()),
            ("user:anna", "key:1")
        );
        assert_eq!(
            (entry.address.as_str(), entry.namespace.as_str()),
            ("192.0.2.7", "team")
        );
        assert_eq!(
            (entry.object, entry.request_id.as_str()),
            (Object::new("workflow", "etl"), "r")
        );
        assert_eq!(entry.id.get_version_num(), 7);
    }

    #[test]
    fn what_is_not_from_outside_or_changes_nothing_is_not_told() {
        assert!(told(&call(None, anna())).is_none(), "it passed no door");
        assert!(told(&call(Some(GET), anna())).is_none(), "it reads");
        let service = Some(Caller::service("execution"));
        assert!(told(&call(Some(APPLY), service)).is_none(), "it is a service's");
        assert!(told(&call(Some(APPLY), Some(Caller::worker()))).is_none());
        assert!(told(&call(Some(APPLY), Some(Caller::local()))).is_some());
        let off = Recorder::off().origin(&call(Some(APPLY), anna()));
        assert!(off.entry(Object::default(), "").is_none());
    }
}
