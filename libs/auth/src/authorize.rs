//! Whether a caller may call a method, and about which namespace the call is. Nothing but the method's contract and the
//! caller's allowances decide.

use std::borrow::Cow;

use nexus_api::error::ApiError;
use nexus_api::method::{Method, Permission};
use nexus_api::namespace::{DEFAULT, METADATA};
use nexus_api::{ErrorReason, Namespace};

use crate::Caller;
use crate::caller::EVERYWHERE;

/// gRPC's own contracts, which carry no options of ours.
const HEALTH: &str = "grpc.health.v1.Health";
/// Namespaces that an error names at most.
const NAMED: usize = 10;

/// Whether a method is for everybody, without a credential.
#[must_use]
pub fn is_public(method: &Method) -> bool {
    // Whoever watches over processes must hear how they are, whatever has become of its credential.
    method.permission == Permission::Public || method.service == HEALTH
}

/// The namespace that a call is about, when its caller may call the method there.
///
/// # Errors
/// PERMISSION_MISSING with the permission and the namespace.
pub fn authorize<'a>(
    method: &Method,
    caller: &'a Caller,
    named: Option<&'a Namespace>,
) -> Result<Cow<'a, str>, ApiError> {
    let permission = method.permission;
    let namespace = match named {
        Some(named) => Cow::Borrowed(named.as_str()),
        // The credential decides, where it leaves no choice.
        None => Cow::Borrowed(caller.only_namespace(permission).unwrap_or(DEFAULT)),
    };
    let allowed = match permission {
        Permission::Public | Permission::Authenticated => true,
        // A method that no contract has, or one of gRPC's own: who is let in may hear that.
        Permission::Unspecified => true,
        of_all if is_of_all(of_all) => caller.may_everywhere(of_all),
        of_one => caller.may(of_one, &namespace),
    };
    if allowed {
        return Ok(namespace);
    }
    Err(match named {
        _ if is_of_all(permission) => missing(caller, permission, EVERYWHERE),
        None => match elsewhere(caller, permission) {
            Some(advice) => refusal(caller, permission, &namespace, &advice),
            None => missing(caller, permission, &namespace),
        },
        Some(_) => missing(caller, permission, &namespace),
    })
}

/// Whether what is allowed by it belongs to no namespace, so that it holds only where it is given for every one.
#[must_use]
pub fn is_of_all(permission: Permission) -> bool {
    match permission {
        Permission::AccessRead
        | Permission::AccessWrite
        | Permission::AuditWrite
        | Permission::CredentialsVerify
        | Permission::FeedRead
        | Permission::ReplicasSpeak => true,
        Permission::Unspecified
        | Permission::WorkflowsRead
        | Permission::WorkflowsWrite
        | Permission::WorkflowsDelete
        | Permission::ExecutionsRead
        | Permission::ExecutionsStart
        | Permission::ExecutionsCancel
        | Permission::LogsRead
        | Permission::WorkersLease
        | Permission::Public
        | Permission::Authenticated
        // Entries are of a namespace, or of none; the handler looks which are asked for.
        | Permission::AuditRead
        | Permission::SecretsRead
        | Permission::SecretsWrite
        | Permission::SecretsResolve
        | Permission::SchedulesRead
        | Permission::SchedulesOperate
        | Permission::SchedulesWrite
        | Permission::NotificationsRead
        | Permission::NotificationsWrite => false,
    }
}

/// Whether only processes of NEXUS have it: no role can.
#[must_use]
pub fn is_of_services(permission: Permission) -> bool {
    matches!(
        permission,
        Permission::AuditWrite | Permission::CredentialsVerify | Permission::ReplicasSpeak
    )
}

/// Says what is missing, and how one comes by it.
#[must_use]
pub fn missing(caller: &Caller, permission: Permission, namespace: &str) -> ApiError {
    let advice = match is_of_services(permission) {
        true => "only processes of NEXUS have it, and no role can",
        // Others may lack it themselves, and then they cannot give it.
        false => "an administrator can give a role that has it",
    };
    refusal(caller, permission, namespace, advice)
}

/// Where the caller may do what it asked for without naming a namespace; nothing when that is nowhere.
fn elsewhere(caller: &Caller, permission: Permission) -> Option<String> {
    let namespaces = caller.namespaces(permission);
    let first: Vec<&str> = namespaces.iter().copied().take(NAMED).collect();
    if first.is_empty() {
        return None;
    }
    let more = match namespaces.len() - first.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "the call named none, and you may in {}{more}: say {METADATA}",
        first.join(", ")
    ))
}

fn refusal(caller: &Caller, permission: Permission, namespace: &str, advice: &str) -> ApiError {
    let name = permission.name();
    let place = match namespace {
        EVERYWHERE => "in every namespace (`*`)".to_owned(),
        one => format!("in the namespace {one}"),
    };
    let message = format!(
        "{} may not do this: it takes the permission {name} {place}; {advice}",
        caller.subject()
    );
    ApiError::new(ErrorReason::PermissionMissing, message)
        .with("permission", name)
        .with("namespace", namespace)
}

#[cfg(test)]
mod tests {
    use nexus_api::access::v1::{Allowance, Identity};
    use nexus_api::method::method;

    use super::*;

    fn caller(namespaces: &[&str], permissions: &[&str]) -> Caller {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Caller::new(Identity {
            subject: "user:anna".to_owned(),
            allowances: vec![Allowance {
                namespaces: owned(namespaces),
                permissions: owned(permissions),
            }],
            ..Identity::default()
        })
    }

    const LIST: &str = "/nexus.execution.v1.ExecutionService/ListExecutions";
    const FEED: &str = "/nexus.feed.v1.FeedService/ListEntries";

    #[test]
    fn a_call_is_about_the_namespace_that_it_names_or_the_only_one_that_the_credential_has() {
        let list = method(LIST).expect("a method");
        let team: Namespace = "team".parse().expect("a namespace");
        let of_team = caller(&["team"], &["executions.read"]);
        let found = |caller: &Caller, named: Option<&Namespace>| {
            let found = authorize(list, caller, named).map(Cow::into_owned);
            found.map_err(|error| error.to_string())
        };
        assert_eq!(found(&of_team, None).as_deref(), Ok("team"));
        assert_eq!(found(&of_team, Some(&team)).as_deref(), Ok("team"));
        let refused = found(&of_team, Some(&Namespace::default())).expect_err("not there");
        assert!(
            refused.contains("executions.read in the namespace default"),
            "{refused}"
        );
        let everywhere = caller(&["*"], &["executions.read"]);
        assert_eq!(found(&everywhere, None).as_deref(), Ok("default"));
        assert_eq!(found(&everywhere, Some(&team)).as_deref(), Ok("team"));
        let two = caller(&["a", "b"], &["executions.read"]);
        assert!(found(&two, None).is_err(), "neither is meant");
        assert!(found(&caller(&["*"], &["workflows.read"]), None).is_err());
    }

    #[test]
    fn who_named_no_namespace_is_told_where_they_may() {
        let list = method(LIST).expect("a method");
        let said = |namespaces: &[&str], named: Option<&Namespace>| {
            let refused = authorize(list, &caller(namespaces, &["executions.read"]), named).map(drop);
            refused.expect_err("it is allowed elsewhere").to_string()
        };
        assert_eq!(
            said(&["team-b", "team-a", "team-b"], None),
            "user:anna may not do this: it takes the permission executions.read in the namespace default; the call named \
             none, and you may in team-a, team-b: say nexus-namespace"
        );
        let named = said(&["team-a", "team-b"], Some(&Namespace::default()));
        assert!(
            named.ends_with("; an administrator can give a role that has it"),
            "{named}"
        );
        let nowhere = authorize(list, &caller(&["team-a"], &["workflows.read"]), None).expect_err("nowhere");
        assert!(nowhere.to_string().contains("an administrator"), "{nowhere}");
        let names: Vec<String> = (0..=NAMED).map(|number| format!("n{number:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let all = said(&names[..NAMED], None);
        assert!(all.contains("n08, n09: say"), "just as many as are named: {all}");
        let more = said(&names, None);
        assert!(
            more.contains("n08, n09 and 1 more: say") && !more.contains("n10"),
            "{more}"
        );
    }

    #[test]
    fn nobody_is_sent_for_a_role_that_cannot_be() {
        let anna = caller(&["*"], &["executions.read"]);
        for own in [Permission::ReplicasSpeak, Permission::CredentialsVerify] {
            let refused = missing(&anna, own, EVERYWHERE).to_string();
            assert!(
                refused.contains("no role can") && !refused.contains("give"),
                "{refused}"
            );
        }
        let feed = missing(&anna, Permission::FeedRead, EVERYWHERE).to_string();
        assert!(feed.contains("an administrator can give a role"), "{feed}");
    }

    #[test]
    fn what_belongs_to_no_namespace_takes_a_grant_for_all_of_them() {
        let some = nexus_api::method::METHODS
            .iter()
            .find(|method| method.permission == Permission::FeedRead)
            .unwrap_or_else(|| panic!("{FEED}"));
        assert!(authorize(some, &caller(&["default"], &["feed.read"]), None).is_err());
        assert!(authorize(some, &caller(&["*"], &["feed.read"]), None).is_ok());
    }

    #[test]
    fn health_and_logging_in_are_for_everybody_and_nothing_else() {
        let public: Vec<_> = nexus_api::method::METHODS
            .iter()
            .filter(|method| is_public(method))
            .map(|method| method.name)
            .collect();
        assert_eq!(
            public,
            [
                "Login",
                "ListLoginMethods",
                "BeginOidcLogin",
                "CompleteOidcLogin",
                "ClaimAdministrator"
            ]
        );
    }
}
