//! What a client error means: refused, unreachable, untrusted, too slow, broken.

use url::Url;

use nexus_attempt::Failure;
use nexus_attempt::address::{self, Refused};

/// The failure for a client error. Addresses are shown without their credentials and queries.
pub(super) fn of(error: &reqwest::Error, url: &Url) -> Failure {
    let chain = address::chain(error);
    if let Some(refused) = chain.iter().find_map(|error| error.downcast_ref::<Refused>()) {
        return address::refusal(refused);
    }
    let tls = chain.iter().any(|error| address::is_tls(*error));
    let error_type = if tls {
        "Tls"
    } else if error.is_connect() {
        "Connect"
    } else if error.is_timeout() {
        "Timeout"
    } else if error.is_builder() {
        "InvalidUrl"
    } else {
        "ConnectionLost"
    };
    // The innermost error says what happened; the outer ones repeat the address.
    let reason = chain.last().map(ToString::to_string).unwrap_or_default();
    Failure::new(error_type, format!("{}: {reason}", super::plain(url)))
}

/// The failure for an answer that breaks off after the server has said that it did what was asked. A request that may
/// not be repeated is not: the server has taken it, and only its answer is missing.
pub(super) fn after(failure: Failure, effect: bool) -> Failure {
    if !effect {
        return failure;
    }
    let message = format!(
        "{}; the server had answered, so the request has taken effect and is not sent again",
        failure.message
    );
    Failure { message, ..failure }.final_()
}
