//! Calls one method of a gRPC service: unary, or with a stream of responses.
//!
//! Decisions: what the method takes is told by the server's reflection or by a descriptor set in the task; both are read
//! before the gate, since they change nothing. A status is the error type (`Grpc.NOT_FOUND`); [`failure`] says which of
//! them another attempt can mend, and that a call which may have taken effect is repeated only when its method or its
//! task says that it may be. `traceparent` is sent always, `idempotency-key` unless the method only reads; metadata that
//! the task sets itself wins. Certificates and descriptors come as text, never as paths: this process can read files that
//! the task's author must not see.

#![expect(
    clippy::result_large_err,
    reason = "a failure ends its attempt: it is made once and never on a hot path"
)]

mod call;
mod connect;
mod failure;
mod input;
mod pool;
mod reflection;
mod request;
mod schema;

use std::sync::Arc;
use std::time::{Duration, Instant};

use prost_reflect::MethodDescriptor;
use tonic::transport::Channel;

use call::Limits;
use failure::Context;
use nexus_attempt::{Failure, RunContext};
use request::Prepared;

pub use input::Fields;
pub use pool::Callers;

/// What is added to the time limit that a server hears of when the task sets no deadline: the worker's own limit is to
/// be the first, so that the failure says which of the two it was.
const SLACK: Duration = Duration::from_millis(500);

/// Calls the method and gives its answer as JSON text.
///
/// # Errors
/// Why there is no answer that can be stored.
pub async fn run(
    fields: Fields,
    ctx: &RunContext,
    callers: &Arc<Callers>,
    max_output_bytes: usize,
) -> Result<String, Failure> {
    let begun = Instant::now();
    let mut limits = Limits::of(&fields)?;
    let mut request = request::prepare(&fields, ctx)?;
    callers.check(&request.target)?;
    let channel = callers.channel(&request.target)?;
    let (method, message) = describe(&fields, &request, &channel, callers).await?;
    if !schema::only_reads(&method) {
        request.offer("idempotency-key", &ctx.idempotency_key);
    }
    let context = Context {
        shown: format!("{} {}/{}", request.target.address, request.service, request.method),
        repeatable: fields.idempotent.unwrap_or_else(|| schema::may_be_repeated(&method)),
    };
    ctx.gate.pass().await;
    let left = ctx.timeout.saturating_sub(begun.elapsed());
    limits.deadline = fields
        .deadline
        .map(|span| span.to_std())
        .filter(|deadline| *deadline < left);
    limits.told = limits.deadline.unwrap_or(left + SLACK);
    let started = Instant::now();
    let answered = call::call(channel, &request, message, &limits, &context).await;
    let (word, count) = match &answered {
        Ok(messages) => ("OK".to_owned(), messages.len()),
        Err(failure) => (failure.error_type.clone(), 0),
    };
    let line = format!(
        "{} ended with {word} after {} ms, {count} messages",
        context.shown,
        started.elapsed().as_millis()
    );
    ctx.logs.system(&ctx.redactor, &line).await;
    schema::output(&method, &answered?, max_output_bytes).map_err(|failure| failure::after(failure, &context))
}

/// The method and the request as it goes over the wire.
async fn describe(
    fields: &Fields,
    request: &Prepared,
    channel: &Channel,
    callers: &Arc<Callers>,
) -> Result<(MethodDescriptor, Vec<u8>), Failure> {
    if let Some(text) = &fields.descriptor {
        let pool = schema::read_descriptor(text)?;
        let method = schema::method(&pool, &request.service, &request.method, "the descriptor")?;
        let message = schema::encode(&method, &fields.message)?;
        return Ok((method, message));
    }
    if fields.reflection == Some(false) {
        return Err(Failure::invalid("`reflection: false` needs a `descriptor`"));
    }
    if let Some(pool) = callers.described(&request.target, &request.service)
        && let Ok(method) = schema::method(&pool, &request.service, &request.method, "the server")
        && let Ok(message) = schema::encode(&method, &fields.message)
    {
        return Ok((method, message));
    }
    // Not asked yet, or asked before the server learned what this task knows.
    let (pool, bytes) = reflection::ask(channel, request).await?;
    callers.describe(&request.target, &request.service, &pool, bytes);
    let method = schema::method(&pool, &request.service, &request.method, "the server")?;
    let message = schema::encode(&method, &fields.message)?;
    Ok((method, message))
}
