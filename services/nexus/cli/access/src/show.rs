//! Identities, keys, users, roles and sessions as people read them.

use nexus_api::access::v1::{Identity, IdentityKind, LoginMethod, UserKind};
use nexus_cli_frame::{CliError, Output, table, time};

/// Facts, one per line; those that are empty are left out.
pub(super) fn facts(facts: &[(&str, String)], output: &Output) -> Result<(), CliError> {
    let told = facts.iter().filter(|(_, value)| !value.is_empty());
    told.into_iter()
        .try_for_each(|(name, value)| output.line(&format!("{name:<12} {value}")))
}

/// Who calls, and what they may do.
pub(super) fn identity(identity: &Identity, output: &Output) -> Result<(), CliError> {
    if !output.is_table() {
        return output.message(identity, "nexus.access.v1.Identity");
    }
    let kind = match identity.kind() {
        IdentityKind::User => "person",
        IdentityKind::ServiceAccount => "service account",
        IdentityKind::Service => "process of NEXUS",
        IdentityKind::Unspecified => "",
    };
    let known = [
        ("subject", identity.subject.clone()),
        ("name", identity.display_name.clone()),
        ("kind", kind.to_owned()),
        ("credential", identity.credential.clone()),
        ("ends", time::point(identity.expire_time.as_ref())),
        ("queues", identity.queues.join(",")),
    ];
    facts(&known, output)?;
    if identity.allowances.is_empty() {
        return output.line("\nnothing is allowed");
    }
    let rows: Vec<Vec<String>> = identity
        .allowances
        .iter()
        .map(|allowance| vec![allowance.namespaces.join(","), allowance.permissions.join(" ")])
        .collect();
    output.line("")?;
    output.raw(&table::render(&["NAMESPACES", "PERMISSIONS"], &rows))
}

pub(super) fn user_kind(kind: UserKind) -> &'static str {
    match kind {
        UserKind::Person => "person",
        UserKind::ServiceAccount => "service account",
        UserKind::Unspecified => "",
    }
}

pub(super) fn login_method(method: LoginMethod) -> &'static str {
    match method {
        LoginMethod::Password => "password",
        LoginMethod::Oidc => "oidc",
        LoginMethod::Unspecified => "",
    }
}
