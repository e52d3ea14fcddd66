//! What the end of a call means for the task: who says so, has it taken effect, and may it be made again?
//!
//! A status of the server is taken at its word. UNAVAILABLE, RESOURCE_EXHAUSTED and ABORTED say that the call was not
//! carried out: the task's `retry` decides. INVALID_ARGUMENT and its like say that the same call will fail again: final.
//! After UNKNOWN, INTERNAL, CANCELLED, DEADLINE_EXCEEDED, a connection that broke, or a stream that broke off, nobody
//! knows whether it has taken effect: it is made again only when its method or its task says that it may be.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::{ErrorDetails, StatusExt};

use nexus_attempt::Failure;
use nexus_attempt::address::{self, Refused};

/// A server cannot ask for a longer wait.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(3_600);

/// What a failure needs to know of its call.
pub(super) struct Context {
    /// Target and method, for messages.
    pub(super) shown: String,
    /// True when the call may be made again although it may have taken effect.
    pub(super) repeatable: bool,
}

/// What another attempt can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Nothing has happened.
    Safe,
    /// It may have happened.
    Doubtful,
    /// It would end in the same way.
    Pointless,
}

/// The failure for a status. `begun`: a part of the answer was there already.
pub(super) fn of(status: &Status, context: &Context, begun: bool) -> Failure {
    match std::error::Error::source(status) {
        Some(source) => broken(source, context),
        None => told(status, context, begun),
    }
}

/// The failure for a call whose deadline has passed.
pub(super) fn late(context: &Context) -> Failure {
    let message = format!("{}: the deadline has passed", context.shown);
    let failure = Failure::new("Grpc.DEADLINE_EXCEEDED", message);
    judged(
        failure.with_details(json!({"code": "DEADLINE_EXCEEDED"})),
        Again::Doubtful,
        context,
    )
}

/// The failure for an answer that cannot be given although the server has carried the call out.
pub(super) fn after(failure: Failure, context: &Context) -> Failure {
    let message = format!(
        "{}: {}; the server has answered, so the call is not made again",
        context.shown, failure.message
    );
    Failure { message, ..failure }.final_()
}

/// The failure for a call that no server has given a status for.
fn broken(source: &(dyn std::error::Error + 'static), context: &Context) -> Failure {
    let chain = address::chain(source);
    if let Some(refused) = chain.iter().find_map(|error| error.downcast_ref::<Refused>()) {
        return address::refusal(refused);
    }
    if chain.iter().any(|error| error.is::<TimeoutExpired>()) {
        return late(context);
    }
    let connecting = chain.iter().any(|error| error.is::<ConnectError>());
    // A connection that had ended before the call went out on it.
    let unsent = chain.iter().any(|error| {
        error
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_canceled)
    });
    let error_type = if chain.iter().any(|error| address::is_tls(*error)) {
        "Tls"
    } else if connecting || unsent {
        "Connect"
    } else {
        "ConnectionLost"
    };
    let again = if connecting || unsent {
        Again::Safe
    } else {
        Again::Doubtful
    };
    let reason = chain.last().map(ToString::to_string).unwrap_or_default();
    judged(
        Failure::new(error_type, format!("{}: {reason}", context.shown)),
        again,
        context,
    )
}

/// The failure for the status that a server has sent.
fn told(status: &Status, context: &Context, begun: bool) -> Failure {
    let details = status.get_error_details();
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    let again = match again(status.code()) {
        Again::Safe if begun => Again::Doubtful,
        // Who says when to come again wants the call again.
        Again::Doubtful if delay.is_some() && !begun => Again::Safe,
        again => again,
    };
    let code = name(status.code());
    let message = match status.message() {
        "" => format!("{}: {code}", context.shown),
        text => format!("{}: {code}: {text}", context.shown),
    };
    let failure = Failure {
        next_retry_delay: delay.map(|delay| delay.min(MAX_RETRY_DELAY)),
        details: Some(shown(code, &details)),
        ..Failure::new(format!("Grpc.{code}"), message)
    };
    judged(failure, again, context)
}

fn judged(failure: Failure, again: Again, context: &Context) -> Failure {
    match again {
        Again::Safe => failure,
        Again::Doubtful if context.repeatable => failure,
        Again::Doubtful => {
            let message = format!(
                "{}; the call may have taken effect, so it is not made again (`idempotent: true` would allow it)",
                failure.message
            );
            Failure { message, ..failure }.final_()
        }
        Again::Pointless => failure.final_(),
    }
}

fn again(code: Code) -> Again {
    match code {
        Code::Unavailable | Code::ResourceExhausted | Code::Aborted => Again::Safe,
        Code::Ok | Code::Cancelled | Code::Unknown | Code::DeadlineExceeded | Code::Internal => Again::Doubtful,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => Again::Pointless,
    }
}

/// A code as the contract of gRPC spells it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// What the server added to its status, as far as it has one of google.rpc's forms. Traces of the server's own code are
/// left out.
fn shown(code: &str, details: &ErrorDetails) -> Value {
    let mut all = Map::new();
    all.insert("code".to_owned(), json!(code));
    let mut add = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            all.insert(key.to_owned(), value);
        }
    };
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    add("retry_delay_seconds", delay.map(|delay| json!(delay.as_secs_f64())));
    let info = details.error_info();
    add(
        "error_info",
        info.map(|info| {
            // A map without an order of its own.
            let metadata: std::collections::BTreeMap<_, _> = info.metadata.iter().collect();
            json!({"reason": info.reason, "domain": info.domain, "metadata": metadata})
        }),
    );
    let violations = details.bad_request().map(|bad| {
        let list = bad.field_violations.iter();
        list.map(|one| json!({"field": one.field, "description": one.description}))
            .collect()
    });
    add("field_violations", violations);
    let preconditions = details.precondition_failure().map(|failed| {
        let list = failed.violations.iter();
        list.map(|one| json!({"type": one.r#type, "subject": one.subject, "description": one.description}))
            .collect()
    });
    add("precondition_violations", preconditions);
    let quotas = details.quota_failure().map(|failed| {
        let list = failed.violations.iter();
        list.map(|one| json!({"subject": one.subject, "description": one.description}))
            .collect()
    });
    add("quota_violations", quotas);
    let resource = details.resource_info();
    add(
        "resource_info",
        resource.map(|info| {
            json!({"type": info.resource_type, "name": info.resource_name, "owner": info.owner, "description": info.description})
        }),
    );
    let localized = details.localized_message();
    add(
        "localized_message",
        localized.map(|text| json!({"locale": text.locale, "message": text.message})),
    );
    Value::Object(all)
}
