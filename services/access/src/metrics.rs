//! What the service counts.

const LOGINS: &str = "nexus_access_logins_total";
const AUTHENTICATIONS: &str = "nexus_access_authentications_total";
const KEY_FETCHES: &str = "nexus_access_key_fetches_total";

/// Describes the metrics; to be called once at the start.
pub fn describe() {
    metrics::describe_counter!(LOGINS, "Logins, by method and outcome.");
    metrics::describe_counter!(
        AUTHENTICATIONS,
        "Credentials that were asked about, by kind and outcome."
    );
    metrics::describe_counter!(
        KEY_FETCHES,
        "Times at which the OpenID provider was asked for its keys, by outcome."
    );
}

/// Somebody logged in, or tried to.
pub(crate) fn login(method: &'static str, outcome: &'static str) {
    metrics::counter!(LOGINS, "method" => method, "outcome" => outcome).increment(1);
}

/// A credential was asked about.
pub(crate) fn authentication(kind: &'static str, outcome: &'static str) {
    metrics::counter!(AUTHENTICATIONS, "kind" => kind, "outcome" => outcome).increment(1);
}

/// The provider was asked for its keys.
pub(crate) fn key_fetch(outcome: &'static str) {
    metrics::counter!(KEY_FETCHES, "outcome" => outcome).increment(1);
}
