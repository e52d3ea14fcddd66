//! Calls of any method, by its path and its bytes, over the ways that other clients use.

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName};
use nexus_api::namespace;
use nexus_auth::{Arrival, Caller};
use nexus_mesh::Transport;
use nexus_mesh::trace::TRACEPARENT;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};

/// Larger answers are refused.
const MAX_ANSWER: usize = 64 << 20;
/// The header that says how long a call may take.
pub const TIMEOUT: HeaderName = HeaderName::from_static("nexus-timeout");

/// Passes messages on as they are.
#[derive(Debug, Clone, Copy)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// A call on its way: where to, and what goes with it.
#[derive(Debug, Clone)]
pub struct Call {
    /// The way to the service.
    pub way: Transport,
    /// The method.
    pub path: String,
    /// What the caller said beside the message.
    pub metadata: MetadataMap,
    /// Who they are, for doors of the same process, which need not ask again.
    pub caller: Option<Caller>,
    /// How their request came.
    pub arrival: Option<Arrival>,
}

impl Call {
    fn request(&self, message: &DynamicMessage) -> Result<(Request<Bytes>, PathAndQuery), Status> {
        let path = self
            .path
            .parse()
            .map_err(|_| Status::internal("the method has no path"))?;
        let mut request = Request::new(Bytes::from(message.encode_to_vec()));
        *request.metadata_mut() = self.metadata.clone();
        if let Some(caller) = &self.caller {
            request.extensions_mut().insert(caller.clone());
        }
        if let Some(arrival) = &self.arrival {
            request.extensions_mut().insert(arrival.clone());
        }
        Ok((request, path))
    }

    async fn client(&self) -> Result<Grpc<Transport>, Status> {
        let mut client = Grpc::new(self.way.clone()).max_decoding_message_size(MAX_ANSWER);
        client.ready().await?;
        Ok(client)
    }

    /// Calls a method that answers with one message.
    ///
    /// # Errors
    /// What the service answers.
    pub async fn unary(&self, message: &DynamicMessage, answer: MessageDescriptor) -> Result<DynamicMessage, Status> {
        let (request, path) = self.request(message)?;
        let bytes = self.client().await?.unary(request, path, Raw).await?.into_inner();
        read(answer, bytes)
    }

    /// Calls a method that answers with a stream.
    ///
    /// # Errors
    /// What the service answers instead.
    pub async fn streaming(&self, message: &DynamicMessage) -> Result<Streaming<Bytes>, Status> {
        let (request, path) = self.request(message)?;
        Ok(self
            .client()
            .await?
            .server_streaming(request, path, Raw)
            .await?
            .into_inner())
    }
}

/// Reads a service's message.
///
/// # Errors
/// When it is none.
pub fn read(descriptor: MessageDescriptor, bytes: Bytes) -> Result<DynamicMessage, Status> {
    DynamicMessage::decode(descriptor, bytes)
        .map_err(|error| Status::internal(format!("a service's answer cannot be read: {error}")))
}

/// The metadata that a request's headers are: namespace, trace, credential, and the time that it may take.
///
/// # Errors
/// Which header cannot be read, and why.
pub fn metadata(headers: &HeaderMap) -> Result<MetadataMap, (HeaderName, String)> {
    let mut passed = HeaderMap::new();
    for name in [namespace::METADATA, TRACEPARENT, http::header::AUTHORIZATION.as_str()] {
        // More than one namespace is for the service to refuse.
        for value in headers.get_all(name) {
            if let Ok(name) = HeaderName::try_from(name) {
                passed.append(name, value.clone());
            }
        }
    }
    if let Some(text) = headers.get(TIMEOUT) {
        let millis = text.to_str().ok().and_then(timeout);
        let millis = millis.ok_or_else(|| (TIMEOUT, "is no span like 5s or 500ms, of a day at most".to_owned()))?;
        if let Ok(value) = format!("{millis}m").parse() {
            passed.insert("grpc-timeout", value);
        }
    }
    Ok(MetadataMap::from_headers(passed))
}

/// Milliseconds of a span: more than nothing, a day at most.
fn timeout(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|letter: char| letter.is_alphabetic()).unwrap_or(text.len()));
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => number,
        "s" | "" => number.checked_mul(1_000)?,
        "m" => number.checked_mul(60_000)?,
        _ => return None,
    };
    (1..=86_400_000).contains(&millis).then_some(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_with_a_call_is_passed_on_and_nothing_else() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("nexus-namespace", "team-a"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("nexus-timeout", "5s"),
            ("cookie", "x"),
            ("grpc-timeout", "9H"),
        ] {
            headers.insert(name, value.parse().expect("value"));
        }
        let passed = metadata(&headers).expect("metadata").into_headers();
        assert_eq!(passed.len(), 3);
        assert_eq!(passed["nexus-namespace"], "team-a");
        assert_eq!(passed["grpc-timeout"], "5000m");
        for wrong in ["", "0s", "soon", "-1s", "1h", "86401s", "99999999999999999999s"] {
            headers.insert("nexus-timeout", wrong.parse().expect("value"));
            assert!(metadata(&headers).is_err(), "{wrong}");
        }
    }
}
