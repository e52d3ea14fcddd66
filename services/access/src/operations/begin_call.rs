//! Begins a call that its caller gave a name, unless it was begun before.

use nexus_api::access::v1::begin_call_response::State;
use nexus_api::access::v1::{BeginCallRequest, BeginCallResponse};
use nexus_api::error::ApiError;
use nexus_api::time::timestamp;
use tonic::Status;

use crate::Context;
use crate::error::{About, about};
use crate::store::calls::NewCall;

/// How long a call is remembered, in microseconds: a day.
const REMEMBERED: i64 = 86_400_000_000;
/// Calls of one caller that are remembered at a time, at most.
const MOST: i64 = 10_000;
/// Bytes of a digest.
pub(super) const DIGEST: usize = 32;
/// Bytes of a subject at most.
const MAX_SUBJECT: usize = 512;

pub(crate) async fn begin(context: &Context, request: BeginCallRequest) -> Result<BeginCallResponse, Status> {
    digest("key", &request.key)?;
    digest("fingerprint", &request.fingerprint)?;
    owner(&request.owner)?;
    if request.subject.is_empty() || request.subject.len() > MAX_SUBJECT {
        return Err(ApiError::field("subject", format!("must have 1 to {MAX_SUBJECT} bytes")).into());
    }
    let at = (context.clock)();
    let call = NewCall {
        key: request.key,
        subject: request.subject,
        fingerprint: request.fingerprint,
        owner: request.owner,
        at,
        expires_at: at.saturating_add(REMEMBERED),
        most: MOST,
    };
    let known = context.store.begin_call(&call).await.map_err(about(About::Call))?;
    let state = match &known.answer {
        _ if known.fingerprint != call.fingerprint => State::OtherRequest,
        Some(_) => State::Done,
        None if known.owner == call.owner => State::Begun,
        None => State::UnderWay,
    };
    Ok(BeginCallResponse {
        state: state.into(),
        answer: known.answer.filter(|_| state == State::Done).unwrap_or_default(),
        begin_time: Some(timestamp(known.begun_at)),
    })
}

pub(super) fn digest(field: &str, bytes: &[u8]) -> Result<(), ApiError> {
    match bytes.len() {
        DIGEST => Ok(()),
        _ => Err(ApiError::field(field, format!("must have {DIGEST} bytes"))),
    }
}

pub(super) fn owner(text: &str) -> Result<(), ApiError> {
    match (16..=64).contains(&text.len()) {
        true => Ok(()),
        false => Err(ApiError::field("owner", "must have 16 to 64 characters")),
    }
}
