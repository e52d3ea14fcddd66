//! Who makes a call, and what they may do.

use std::collections::BTreeSet;
use std::sync::Arc;

use nexus_api::ErrorReason;
use nexus_api::access::v1::{Allowance, Identity, IdentityKind};
use nexus_api::error::ApiError;
use nexus_api::method::Permission;
use tonic::Request;

/// Stands for every namespace among those of an allowance.
pub const EVERYWHERE: &str = "*";

/// Who makes a call. Handlers find it among the request's extensions. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller(Arc<Identity>);

impl Caller {
    /// Somebody whose credential was verified.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self(Arc::new(identity))
    }

    /// Whoever sits at the machine, where no credentials are asked for: may do everything.
    #[must_use]
    pub fn local() -> Self {
        Self::mighty("local", "whoever uses this machine", IdentityKind::User)
    }

    /// A process of NEXUS itself, by its role.
    #[must_use]
    pub fn service(role: &str) -> Self {
        Self::mighty(&format!("service:{role}"), role, IdentityKind::Service)
    }

    /// A worker of this NEXUS, of any namespace and for any queue.
    #[must_use]
    pub fn worker() -> Self {
        let permissions = [Permission::WorkersLease, Permission::SecretsResolve];
        Self::with("service:worker", "worker", IdentityKind::Service, &permissions)
    }

    fn mighty(subject: &str, display_name: &str, kind: IdentityKind) -> Self {
        let asked_for = nexus_api::method::METHODS.iter().map(|method| method.permission);
        let all: Vec<_> = asked_for.chain(ASKED_FOR_WITHIN).collect();
        Self::with(subject, display_name, kind, &all)
    }

    /// Somebody who may do something in every namespace.
    fn with(subject: &str, display_name: &str, kind: IdentityKind, permissions: &[Permission]) -> Self {
        let names = permissions.iter().map(|permission| permission.name().to_owned());
        let mut permissions: Vec<String> = names.collect();
        permissions.sort_unstable();
        permissions.dedup();
        Self::new(Identity {
            subject: subject.to_owned(),
            display_name: display_name.to_owned(),
            kind: kind.into(),
            allowances: vec![Allowance {
                namespaces: vec![EVERYWHERE.to_owned()],
                permissions,
            }],
            ..Identity::default()
        })
    }

    /// Who made a call. Every call that passed a door has one.
    ///
    /// # Errors
    /// CREDENTIAL_INVALID for a call that passed none.
    pub fn of<T>(request: &Request<T>) -> Result<Self, ApiError> {
        let caller = request.extensions().get::<Self>().cloned();
        caller.ok_or_else(|| ApiError::new(ErrorReason::CredentialInvalid, "nobody knows who makes this call"))
    }

    /// Who they are and what they may do.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0
    }

    /// The same, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<Identity> {
        Arc::clone(&self.0)
    }

    /// Whose credential it is (`user:anna`).
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Whether it is a process of this NEXUS, a worker of it included.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.0.kind() == IdentityKind::Service
    }

    /// Whether they may do something in a namespace.
    #[must_use]
    pub fn may(&self, permission: Permission, namespace: &str) -> bool {
        let holds = |allowance: &Allowance| {
            let there = allowance
                .namespaces
                .iter()
                .any(|name| name == EVERYWHERE || name == namespace);
            there && allowance.permissions.iter().any(|name| name == permission.name())
        };
        self.0.allowances.iter().any(holds)
    }

    /// Whether they may do something in every namespace.
    #[must_use]
    pub fn may_everywhere(&self, permission: Permission) -> bool {
        self.may(permission, EVERYWHERE)
    }

    /// The one namespace in which they may do something; none when there are several, or every one.
    #[must_use]
    pub fn only_namespace(&self, permission: Permission) -> Option<&str> {
        let mut names = self.places(permission);
        let first = names.next()?;
        (first != EVERYWHERE && names.all(|name| name == first)).then_some(first)
    }

    /// The namespaces in which they may do something; [`EVERYWHERE`] stands for every one.
    #[must_use]
    pub fn namespaces(&self, permission: Permission) -> BTreeSet<&str> {
        self.places(permission).collect()
    }

    /// The same, each as often as an allowance names it.
    fn places(&self, permission: Permission) -> impl Iterator<Item = &str> {
        let allows = move |allowance: &&Allowance| allowance.permissions.iter().any(|name| name == permission.name());
        let allowances = self.0.allowances.iter().filter(allows);
        allowances.flat_map(|allowance| allowance.namespaces.iter().map(String::as_str))
    }

    /// Whether tasks may be taken from a queue; asked for workers.
    #[must_use]
    pub fn may_take_from(&self, queue: &str) -> bool {
        self.0.queues.is_empty() || self.0.queues.iter().any(|name| name == queue)
    }
}

/// Permissions that no method asks for as a whole, yet handlers do.
const ASKED_FOR_WITHIN: [Permission; 3] = [
    Permission::SecretsRead,
    Permission::SecretsWrite,
    Permission::SecretsResolve,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(allowances: &[(&[&str], &[&str])]) -> Caller {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Caller::new(Identity {
            allowances: allowances
                .iter()
                .map(|(namespaces, permissions)| Allowance {
                    namespaces: owned(namespaces),
                    permissions: owned(permissions),
                })
                .collect(),
            ..Identity::default()
        })
    }

    #[test]
    fn what_is_allowed_is_allowed_where_it_is_and_nowhere_else() {
        let both = caller(&[
            (&["a"], &["workflows.read", "workflows.write"]),
            (&["b"], &["workflows.read"]),
        ]);
        let (read, write) = (Permission::WorkflowsRead, Permission::WorkflowsWrite);
        assert!(both.may(read, "a") && both.may(write, "a") && both.may(read, "b"));
        assert!(!both.may(write, "b") && !both.may(read, "c") && !both.may_everywhere(read));
        assert!(!both.may(Permission::LogsRead, "a"));
        assert_eq!(
            (both.only_namespace(write), both.only_namespace(read)),
            (Some("a"), None)
        );
        let names = |permission| both.namespaces(permission).into_iter().collect::<Vec<_>>();
        assert_eq!((names(read), names(write)), (vec!["a", "b"], vec!["a"]));
        let all = caller(&[(&["*"], &["workflows.read"])]);
        assert!(all.may(read, "whatever") && all.may_everywhere(read));
        assert_eq!(all.only_namespace(read), None);
        let none = caller(&[]);
        assert!(!none.may(read, "default") && none.only_namespace(read).is_none());
    }

    #[test]
    fn whoever_sits_at_the_machine_may_do_what_any_method_asks_for() {
        let local = Caller::local();
        for method in nexus_api::method::METHODS {
            assert!(local.may_everywhere(method.permission), "{}", method.path);
        }
    }

    #[test]
    fn a_worker_takes_from_its_queues_alone_and_without_a_list_from_all() {
        let mut identity = Identity::default();
        assert!(Caller::new(identity.clone()).may_take_from("gpu"));
        identity.queues = vec!["gpu".to_owned()];
        let bound = Caller::new(identity);
        assert!(bound.may_take_from("gpu") && !bound.may_take_from("default"));
    }
}
