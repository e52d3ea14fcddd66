//! What somebody may do, as a set of (permission, namespace): made of grants, cut with another set, compared with it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use nexus_api::access::v1::{Allowance, Identity};
use nexus_api::method::Permission;
use serde::{Deserialize, Serialize};

use crate::roles::{self, Roles};

/// Stands for every namespace.
pub const EVERYWHERE: &str = "*";

/// A role that somebody has in some namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The role's name.
    pub role: String,
    /// The namespaces; `*` is every one.
    pub namespaces: Vec<String>,
}

/// Whether grants make an administrator: somebody who has the role in every namespace.
#[must_use]
pub fn makes_administrator(grants: &[Grant]) -> bool {
    let everywhere = |grant: &Grant| grant.namespaces.iter().any(|namespace| namespace == EVERYWHERE);
    grants
        .iter()
        .any(|grant| grant.role == roles::ADMIN && everywhere(grant))
}

/// Where a permission holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Everywhere,
    In(BTreeSet<String>),
}

impl Scope {
    fn has(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::In(names) => names.contains(namespace),
        }
    }

    /// Where both hold; nothing when that is nowhere.
    fn common(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Everywhere, scope) | (scope, Self::Everywhere) => Some(scope.clone()),
            (Self::In(one), Self::In(two)) => {
                let both: BTreeSet<String> = one.intersection(two).cloned().collect();
                (!both.is_empty()).then_some(Self::In(both))
            }
        }
    }

    /// A namespace of this one that is none of the other.
    fn beyond<'a>(&'a self, other: Option<&'a Self>) -> Option<&'a str> {
        match (self, other) {
            (_, Some(Self::Everywhere)) => None,
            (Self::Everywhere, _) => Some(EVERYWHERE),
            (Self::In(names), None) => names.first().map(String::as_str),
            (Self::In(names), Some(Self::In(others))) => names.difference(others).next().map(String::as_str),
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Everywhere => vec![EVERYWHERE.to_owned()],
            Self::In(names) => names.iter().cloned().collect(),
        }
    }
}

/// What somebody may do, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Powers(BTreeMap<Permission, Scope>);

impl Powers {
    /// What grants give, as the roles are now.
    #[must_use]
    pub fn of_grants(grants: &[Grant], roles: &Roles) -> Self {
        let mut powers = Self::default();
        for grant in grants {
            for permission in roles.permissions(&grant.role) {
                powers.add(*permission, &grant.namespaces);
            }
        }
        powers
    }

    /// What a caller was found to have.
    #[must_use]
    pub fn of_identity(identity: &Identity) -> Self {
        let mut powers = Self::default();
        for allowance in &identity.allowances {
            for permission in allowance.permissions.iter().filter_map(|name| roles::grantable(name)) {
                powers.add(permission, &allowance.namespaces);
            }
        }
        powers
    }

    /// What permissions give in every namespace.
    pub fn everywhere(permissions: impl IntoIterator<Item = Permission>) -> Self {
        let each = permissions
            .into_iter()
            .map(|permission| (permission, Scope::Everywhere));
        Self(each.collect())
    }

    fn add(&mut self, permission: Permission, namespaces: &[String]) {
        if namespaces.iter().any(|namespace| namespace == EVERYWHERE) {
            self.0.insert(permission, Scope::Everywhere);
        } else if !namespaces.is_empty() {
            let scope = self.0.entry(permission);
            if let Scope::In(names) = scope.or_insert_with(|| Scope::In(BTreeSet::new())) {
                names.extend(namespaces.iter().cloned());
            }
        }
    }

    /// What is in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let both = self.0.iter().filter_map(|(permission, scope)| {
            let scope = scope.common(other.0.get(permission)?)?;
            Some((*permission, scope))
        });
        Self(both.collect())
    }

    /// What is in either.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (permission, scope) in &other.0 {
            self.add(*permission, &scope.names());
        }
        self
    }

    /// Something of this that the other has not: a permission and a namespace.
    #[must_use]
    pub fn beyond<'a>(&'a self, other: &'a Self) -> Option<(Permission, &'a str)> {
        let mut each = self.0.iter();
        each.find_map(|(permission, scope)| Some((*permission, scope.beyond(other.0.get(permission))?)))
    }

    /// Whether something may be done in a namespace; in all of them, for `*`.
    #[must_use]
    pub fn allow(&self, permission: Permission, namespace: &str) -> bool {
        self.0.get(&permission).is_some_and(|scope| scope.has(namespace))
    }

    /// What may be given to others: what one has, and for an administrator the role of workers too. No person has that one,
    /// so nobody could make a worker's key otherwise.
    #[must_use]
    pub fn givable(&self) -> Self {
        let role = |name| {
            Self::everywhere(
                roles::built_in(name)
                    .into_iter()
                    .flat_map(|role| role.permissions)
                    .copied(),
            )
        };
        if role(roles::ADMIN).beyond(self).is_some() {
            return self.clone();
        }
        self.clone().and(&role(roles::WORKER))
    }

    /// As the contract writes it: permissions that hold in the same namespaces stand together.
    #[must_use]
    pub fn allowances(&self) -> Vec<Allowance> {
        let mut by_scope: BTreeMap<&Scope, Vec<String>> = BTreeMap::new();
        for (permission, scope) in &self.0 {
            by_scope.entry(scope).or_default().push(permission.name().to_owned());
        }
        let each = by_scope.into_iter().map(|(scope, permissions)| Allowance {
            namespaces: scope.names(),
            permissions,
        });
        each.collect()
    }
}

#[cfg(test)]
mod tests {
    use Permission as P;

    use super::*;

    fn grant(role: &str, namespaces: &[&str]) -> Grant {
        Grant {
            role: role.to_owned(),
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn of(grants: &[Grant]) -> Powers {
        Powers::of_grants(grants, &Roles::default())
    }

    #[test]
    fn a_key_is_worth_what_both_it_and_its_user_have() {
        let user = of(&[grant("editor", &["a", "b"]), grant("viewer", &["*"])]);
        let key = of(&[grant("operator", &["*"])]);
        let both = key.common(&user);
        assert!(both.allow(P::ExecutionsStart, "a") && !both.allow(P::ExecutionsStart, "c"));
        assert!(both.allow(P::LogsRead, "c"), "a viewer everywhere");
        assert!(!both.allow(P::WorkflowsWrite, "a"), "the key has it not");
        assert_eq!(user.common(&key), both);
        assert_eq!(
            of(&[grant("viewer", &["a"])]).common(&of(&[grant("viewer", &["b"])])),
            Powers::default()
        );
    }

    #[test]
    fn every_namespace_is_more_than_any_number_of_them() {
        let (all, some) = (of(&[grant("viewer", &["*"])]), of(&[grant("viewer", &["a", "b"])]));
        assert_eq!(some.beyond(&all), None);
        assert_eq!(all.beyond(&some).map(|(_, namespace)| namespace), Some("*"));
        assert_eq!(
            some.beyond(&of(&[grant("viewer", &["a"])]))
                .map(|(_, namespace)| namespace),
            Some("b")
        );
        assert_eq!(some.beyond(&Powers::default()), Some((P::WorkflowsRead, "a")));
        assert_eq!(Powers::default().beyond(&Powers::default()), None);
        assert!(!some.allow(P::LogsRead, "*") && all.allow(P::LogsRead, "*"));
    }

    #[test]
    fn grants_in_pieces_are_the_same_as_grants_at_once() {
        let pieces = of(&[grant("viewer", &["a"]), grant("viewer", &["b"])]);
        assert_eq!(pieces, of(&[grant("viewer", &["b", "a"])]));
        let widened = of(&[
            grant("viewer", &["a"]),
            grant("viewer", &["*"]),
            grant("viewer", &["b"]),
        ]);
        assert_eq!(widened, of(&[grant("viewer", &["*"])]));
        assert_eq!(of(&[grant("viewer", &[])]), Powers::default());
    }

    #[test]
    fn what_is_told_is_read_back() {
        let powers = of(&[
            grant("editor", &["a", "b"]),
            grant("viewer", &["*"]),
            grant("worker", &["c"]),
        ]);
        let identity = Identity {
            allowances: powers.allowances(),
            ..Identity::default()
        };
        assert_eq!(Powers::of_identity(&identity), powers);
        assert_eq!(
            identity.allowances.len(),
            3,
            "one for each set of namespaces: {:?}",
            identity.allowances
        );
    }

    #[test]
    fn an_administrator_may_give_the_role_of_workers_and_others_may_not() {
        let worker = of(&[grant("worker", &["*"])]);
        let administrator = of(&[grant("admin", &["*"])]);
        assert!(worker.beyond(&administrator).is_some(), "they have it not");
        assert_eq!(worker.beyond(&administrator.givable()), None);
        for less in [grant("admin", &["a"]), grant("editor", &["*"])] {
            assert!(worker.beyond(&of(&[less]).givable()).is_some());
        }
    }

    #[test]
    fn an_administrator_is_one_in_every_namespace() {
        assert!(makes_administrator(&[
            grant("viewer", &["a"]),
            grant("admin", &["a", "*"])
        ]));
        assert!(!makes_administrator(&[grant("admin", &["a"]), grant("editor", &["*"])]));
    }
}
