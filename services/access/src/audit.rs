//! The audit log: what this service's own changes tell it, and the service for callers.

mod list;
mod record;
mod verify;

use std::sync::Arc;

use nexus_api::audit::v1 as api;
use nexus_api::audit::v1::audit_service_server::AuditService;
use nexus_audit::{Actor, Object, Outcome};
use tonic::{Request, Response, Status};

use crate::Context;
use crate::caller::USER;
use crate::store::{NewUser, Store, UserKind, UserRow};

/// Why somebody was kept out who has given too many wrong passwords.
const LOCKED_OUT: &str = "LOCKED_OUT";

/// Somebody who logs in, and is known by that only.
pub(crate) trait Comer {
    /// Their name, their name for people, and whether they are a person.
    fn told(&self) -> (&str, &str, UserKind);

    /// As an actor.
    fn actor(&self) -> Actor {
        let (name, display_name, kind) = self.told();
        let kind = match kind {
            UserKind::Person => "user",
            UserKind::ServiceAccount => "service_account",
        };
        let display_name = if display_name.is_empty() { name } else { display_name };
        Actor {
            kind: kind.to_owned(),
            id: nexus_audit::entry::text(&format!("{USER}{name}")),
            display_name: nexus_audit::entry::text(display_name),
            credential: String::new(),
        }
    }
}

impl Comer for UserRow {
    fn told(&self) -> (&str, &str, UserKind) {
        (&self.name, &self.display_name, self.kind)
    }
}

impl Comer for NewUser {
    fn told(&self) -> (&str, &str, UserKind) {
        (&self.name, &self.display_name, self.kind)
    }
}

impl Context {
    /// The store, for a change of something that the audit log is told of.
    pub(crate) fn telling(&self, kind: &str, name: &str) -> Arc<dyn Store> {
        match self.origin.entry_of_all(Object::new(kind, name)) {
            Some(entry) => self.store.telling(&entry),
            None => Arc::clone(&self.store),
        }
    }

    /// The same for a change by somebody who is known by it only.
    pub(crate) fn telling_as(&self, comer: &impl Comer, kind: &str, name: &str) -> Arc<dyn Store> {
        match self.origin.entry_of_all(Object::new(kind, name)) {
            Some(mut entry) => {
                entry.actor = comer.actor();
                self.store.telling(&entry)
            }
            None => Arc::clone(&self.store),
        }
    }

    /// The store, for the wrong password by which a user is locked out; nobody is, as a rule.
    pub(crate) fn telling_of_lock(&self, user: Option<&UserRow>) -> Arc<dyn Store> {
        let entry = user.and_then(|user| self.origin.entry_of_all(Object::new("user", &user.name)));
        match entry {
            Some(mut entry) => {
                entry.outcome = Outcome::Denied;
                entry.reason = LOCKED_OUT.to_owned();
                self.store.telling(&entry)
            }
            None => Arc::clone(&self.store),
        }
    }
}

/// Answers callers.
#[derive(Clone)]
pub struct Service(pub(crate) Context);

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuditService")
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl AuditService for Service {
    async fn record_audit_entries(
        &self,
        request: Request<api::RecordAuditEntriesRequest>,
    ) -> Answer<api::RecordAuditEntriesResponse> {
        let caller = nexus_auth::Caller::of(&request)?;
        let answer = record::record(&self.0, &caller, request.into_inner()).await;
        answer.map(Response::new)
    }

    async fn list_audit_entries(
        &self,
        request: Request<api::ListAuditEntriesRequest>,
    ) -> Answer<api::ListAuditEntriesResponse> {
        let caller = nexus_auth::Caller::of(&request)?;
        list::list(&self.0, &caller, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn verify_audit_chain(
        &self,
        request: Request<api::VerifyAuditChainRequest>,
    ) -> Answer<api::VerifyAuditChainResponse> {
        let caller = nexus_auth::Caller::of(&request)?;
        let answer = verify::verify(&self.0, &caller, &request.into_inner()).await;
        answer.map(Response::new)
    }
}
