//! The roles that every NEXUS has, and what may be in others.

use std::collections::HashMap;

use nexus_api::method::Permission;

/// The role of those who may do everything that a person may.
pub const ADMIN: &str = "admin";
/// The role of workers.
pub const WORKER: &str = "worker";

/// A role that every NEXUS has and nobody changes.
#[derive(Debug)]
pub struct BuiltIn {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What it allows.
    pub permissions: &'static [Permission],
}

use Permission as P;

/// All of them, in the order in which they are shown. A worker's permissions are in no person's role: whoever resolves
/// secrets sees them.
pub const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "viewer",
        description: "Sees workflows, executions and their logs, schedules, which secrets there are, and who is told of what.",
        permissions: &[
            P::WorkflowsRead,
            P::ExecutionsRead,
            P::LogsRead,
            P::SecretsRead,
            P::SchedulesRead,
            P::NotificationsRead,
        ],
    },
    BuiltIn {
        name: "operator",
        description: "A viewer who starts and cancels executions, and pauses and triggers schedules.",
        permissions: &[
            P::WorkflowsRead,
            P::ExecutionsRead,
            P::LogsRead,
            P::SecretsRead,
            P::NotificationsRead,
            P::ExecutionsStart,
            P::ExecutionsCancel,
            P::SchedulesRead,
            P::SchedulesOperate,
        ],
    },
    BuiltIn {
        name: "editor",
        description: "An operator who writes workflows, schedules, secrets, channels and rules, and with it says what workers run.",
        permissions: &[
            P::WorkflowsRead,
            P::ExecutionsRead,
            P::LogsRead,
            P::SecretsRead,
            P::NotificationsRead,
            P::ExecutionsStart,
            P::ExecutionsCancel,
            P::WorkflowsWrite,
            P::WorkflowsDelete,
            P::SecretsWrite,
            P::SchedulesRead,
            P::SchedulesOperate,
            P::SchedulesWrite,
            P::NotificationsWrite,
        ],
    },
    BuiltIn {
        name: ADMIN,
        description: "Everything that a person may do: users, roles and keys too, the audit log and the feed.",
        permissions: &[
            P::WorkflowsRead,
            P::ExecutionsRead,
            P::LogsRead,
            P::SecretsRead,
            P::NotificationsRead,
            P::ExecutionsStart,
            P::ExecutionsCancel,
            P::WorkflowsWrite,
            P::WorkflowsDelete,
            P::SecretsWrite,
            P::SchedulesRead,
            P::SchedulesOperate,
            P::SchedulesWrite,
            P::NotificationsWrite,
            P::AccessRead,
            P::AccessWrite,
            P::AuditRead,
            P::FeedRead,
        ],
    },
    BuiltIn {
        name: WORKER,
        description: "Takes tasks and reports how they ended, with the secrets that they need. For programs.",
        permissions: &[P::WorkersLease, P::SecretsResolve],
    },
];

/// What no role gives: it needs none, or only services of NEXUS have it.
const NEVER: &[Permission] = &[
    P::Unspecified,
    P::Public,
    P::Authenticated,
    P::AuditWrite,
    P::CredentialsVerify,
    P::ReplicasSpeak,
];

/// The role of a name that is built in.
#[must_use]
pub fn built_in(name: &str) -> Option<&'static BuiltIn> {
    BUILT_IN.iter().find(|role| role.name == name)
}

/// The permission of a name, where a role may have it.
#[must_use]
pub fn grantable(name: &str) -> Option<Permission> {
    all_grantable().find(|permission| permission.name() == name)
}

/// Every permission that a role may have.
pub fn all_grantable() -> impl Iterator<Item = Permission> {
    // More than the contract has numbers; a test asks for each of them.
    let all = (0..256).filter_map(|number| Permission::try_from(number).ok());
    all.filter(|permission| !NEVER.contains(permission))
}

/// What roles allow: those that are built in, and some others. A name that is none of them allows nothing.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    others: HashMap<String, Vec<Permission>>,
}

impl Roles {
    /// With these roles beside those that are built in. Permissions that this version does not know are nobody's.
    pub fn with<'a>(others: impl IntoIterator<Item = (&'a str, &'a [String])>) -> Self {
        let known = |names: &[String]| names.iter().filter_map(|name| grantable(name)).collect();
        let others = others.into_iter().map(|(name, names)| (name.to_owned(), known(names)));
        Self {
            others: others.collect(),
        }
    }

    /// What a role allows.
    #[must_use]
    pub fn permissions(&self, name: &str) -> &[Permission] {
        match built_in(name) {
            Some(role) => role.permissions,
            None => self.others.get(name).map_or(&[], Vec::as_slice),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(role: &str, permission: Permission) -> bool {
        Roles::default().permissions(role).contains(&permission)
    }

    #[test]
    fn each_role_of_people_has_all_of_the_one_before() {
        for pair in BUILT_IN[..4].windows(2) {
            for permission in pair[0].permissions {
                assert!(
                    pair[1].permissions.contains(permission),
                    "{} {permission:?}",
                    pair[1].name
                );
            }
            assert!(pair[1].permissions.len() > pair[0].permissions.len());
        }
        assert!(has("editor", P::WorkflowsWrite) && !has("operator", P::WorkflowsWrite));
        assert!(has("operator", P::ExecutionsStart) && !has("viewer", P::ExecutionsStart));
    }

    #[test]
    fn an_administrator_has_what_a_person_may_have_and_a_worker_has_the_rest() {
        for permission in all_grantable() {
            assert!(
                has(ADMIN, permission) != has(WORKER, permission),
                "{permission:?} is a person's or a worker's: put it into one of the two roles"
            );
        }
    }

    #[test]
    fn no_role_has_what_none_may_have() {
        for never in NEVER {
            assert!(grantable(never.name()).is_none(), "{never:?}");
            assert!(BUILT_IN.iter().all(|role| !role.permissions.contains(never)));
        }
        let names = ["public".to_owned(), "logs.read".to_owned(), "made.up".to_owned()];
        let roles = Roles::with([("own", &names[..])]);
        assert_eq!(roles.permissions("own"), [P::LogsRead]);
        assert!(roles.permissions("unknown").is_empty());
    }

    #[test]
    fn a_role_that_is_built_in_is_what_it_is_whatever_is_stored_under_its_name() {
        let names = ["access.write".to_owned()];
        let roles = Roles::with([("viewer", &names[..])]);
        assert!(!roles.permissions("viewer").contains(&P::AccessWrite));
    }
}
