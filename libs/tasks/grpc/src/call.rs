//! The call itself: one request, a bounded answer, a deadline.

use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::failure::{self, Context};
use super::request::Prepared;
use crate::input::Fields;
use nexus_attempt::Failure;

const DEFAULT_MAX_SIZE: u64 = 1 << 20;
const DEFAULT_MAX_MESSAGES: u32 = 1_000;
/// Two clocks that measure the same span differ by less.
const NEARLY: Duration = Duration::from_millis(20);
/// What tonic says of a message that is larger than it may be; its status has no kind of its own.
const TOO_LARGE: &str = "Error, decoded message length too large";

/// What bounds a call.
pub(super) struct Limits {
    /// Bytes of all messages together.
    size: usize,
    messages: usize,
    /// The call's own time limit, where it comes before the attempt's.
    pub(super) deadline: Option<Duration>,
    /// The time limit that the server hears of.
    pub(super) told: Duration,
}

impl Limits {
    pub(super) fn of(fields: &Fields) -> Result<Self, Failure> {
        let size = match &fields.max_size {
            None => DEFAULT_MAX_SIZE,
            Some(text) => nexus_attempt::parse_size(text)
                .ok_or_else(|| Failure::invalid(format!("`max_size` must be a size such as 1MiB, not `{text}`")))?,
        };
        Ok(Self {
            size: usize::try_from(size).unwrap_or(usize::MAX),
            messages: fields.max_messages.unwrap_or(DEFAULT_MAX_MESSAGES) as usize,
            deadline: None,
            told: Duration::ZERO,
        })
    }
}

/// Makes the call and gives the messages of its answer. Dropping the future cancels the call at the server.
pub(super) async fn call(
    channel: Channel,
    request: &Prepared,
    message: Vec<u8>,
    limits: &Limits,
    context: &Context,
) -> Result<Vec<Bytes>, Failure> {
    let work = exchange(channel, request, message, limits, context);
    let Some(deadline) = limits.deadline else {
        return work.await;
    };
    let begun = Instant::now();
    match tokio::time::timeout(deadline, work).await {
        Err(_) => Err(failure::late(context)),
        // Some servers say CANCELLED when they keep to a deadline, at the moment at which it passes here.
        Ok(Err(failure)) if failure.error_type == "Grpc.CANCELLED" && begun.elapsed() + NEARLY >= deadline => {
            Err(failure::late(context))
        }
        Ok(ended) => ended,
    }
}

async fn exchange(
    channel: Channel,
    request: &Prepared,
    message: Vec<u8>,
    limits: &Limits,
    context: &Context,
) -> Result<Vec<Bytes>, Failure> {
    let path = PathAndQuery::try_from(format!("/{}/{}", request.service, request.method))
        .map_err(|error| Failure::invalid(format!("`method` cannot be called: {error}")))?;
    let mut sent = Request::new(Bytes::from(message));
    *sent.metadata_mut() = request.metadata.clone();
    sent.set_timeout(limits.told);
    let mut grpc = Grpc::new(channel).max_decoding_message_size(limits.size);
    grpc.ready()
        .await
        .map_err(|error| failure::of(&Status::from_error(error.into()), context, false))?;
    let mut answer = grpc
        .server_streaming(sent, path, Raw)
        .await
        .map_err(|status| failure::of(&status, context, false))?
        .into_inner();
    let mut messages: Vec<Bytes> = Vec::new();
    let mut bytes = 0;
    loop {
        let message = match answer.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(messages),
            Err(status) if is_too_large(&status) => return Err(too_large(limits, context)),
            Err(status) => return Err(failure::of(&status, context, !messages.is_empty())),
        };
        bytes += message.len();
        if bytes > limits.size {
            return Err(too_large(limits, context));
        }
        if messages.len() == limits.messages {
            let problem = format!(
                "the stream has more than the {} messages allowed (`max_messages`)",
                limits.messages
            );
            return Err(failure::after(Failure::new("TooManyMessages", problem), context));
        }
        messages.push(message);
    }
}

fn is_too_large(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().starts_with(TOO_LARGE)
}

fn too_large(limits: &Limits, context: &Context) -> Failure {
    let problem = format!(
        "the answer is larger than the {} bytes allowed (`max_size`)",
        limits.size
    );
    failure::after(Failure::new("ResponseTooLarge", problem), context)
}

/// Messages as they are on the wire: what they mean is read by [`super::schema`].
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}
