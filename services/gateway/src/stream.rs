//! Streams of a service as HTTP can carry them: server-sent events, or JSON line by line. What a message shows as a list
//! is told item by item; an item that has a `sequence` is one that a reader can go on after.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::unfold;
use http::{HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::StreamBody;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage, Value};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Status, Streaming};

use crate::call;
use crate::json;
use crate::problem::Problem;

/// The forms of a stream, the usual one first.
pub const FORMS: [&str; 2] = [EVENTS, LINES];
const EVENTS: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";
/// A silent stream says so often that it is there, so that nobody on the way thinks otherwise.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

const STREAMS: &str = "nexus_http_streams_open";

/// Describes the metric.
pub(crate) fn describe() {
    metrics::describe_gauge!(STREAMS, "Streams over plain HTTP that are open.");
}

/// How a stream is shown.
#[derive(Debug, Clone)]
pub struct Shown {
    /// One of [`FORMS`].
    pub form: &'static str,
    /// The service's message.
    pub message: MessageDescriptor,
    /// What of it is shown.
    pub field: Option<FieldDescriptor>,
    /// The path that was asked for, for a problem.
    pub path: String,
}

/// The answer that a stream is. It ends with the stream, or when the process ends; then readers come again.
#[must_use]
pub fn answer(
    stream: Streaming<Bytes>,
    shown: Shown,
    place: OwnedSemaphorePermit,
    leaving: CancellationToken,
) -> Response<Body> {
    let media_type = HeaderValue::from_static(shown.form);
    let first = Running {
        stream,
        shown,
        leaving,
        over: false,
        _open: Open::new(place),
    };
    let chunks = unfold(first, |running| async move { running.next().await });
    let mut answer = Response::new(Body::new(StreamBody::new(chunks)));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers would keep them back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    answer
}

struct Running {
    stream: Streaming<Bytes>,
    shown: Shown,
    leaving: CancellationToken,
    over: bool,
    _open: Open,
}

/// A stream that counts as open until it is dropped.
struct Open {
    _place: OwnedSemaphorePermit,
}

impl Open {
    fn new(place: OwnedSemaphorePermit) -> Self {
        metrics::gauge!(STREAMS).increment(1.0);
        Self { _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!(STREAMS).decrement(1.0);
    }
}

impl Running {
    /// The next piece of the body, and what follows it.
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, Status>, Self)> {
        while !self.over {
            let message = tokio::select! {
                message = self.stream.message() => message,
                () = sleep(SIGN_OF_LIFE), if self.shown.form == EVENTS => {
                    return Some((Ok(Frame::data(Bytes::from_static(b": still here\n\n"))), self));
                }
                () = self.leaving.cancelled() => return None,
            };
            let mut text = Vec::new();
            let read = message.and_then(|bytes| {
                bytes
                    .map(|bytes| call::read(self.shown.message.clone(), bytes))
                    .transpose()
            });
            match read {
                Ok(Some(message)) => self.shown.items(&message, &mut text),
                Ok(None) => {
                    self.over = true;
                    self.shown.end(&mut text);
                }
                Err(status) => {
                    self.over = true;
                    self.shown.problem(&status, &mut text);
                }
            }
            if !text.is_empty() {
                return Some((Ok(Frame::data(text.into())), self));
            }
        }
        None
    }
}

impl Shown {
    /// A message, item by item.
    fn items(&self, message: &DynamicMessage, out: &mut Vec<u8>) {
        let Some(field) = &self.field else {
            let mut text = Vec::new();
            json::write(message, &mut text);
            return self.item(sequence(message), text, out);
        };
        let value = message.get_field(field);
        let items = match value.as_ref() {
            Value::List(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for item in items {
            let mut text = Vec::new();
            json::write_value(field, item, &mut text);
            self.item(item.as_message().and_then(sequence), text, out);
        }
    }

    fn item(&self, sequence: Option<u64>, mut text: Vec<u8>, out: &mut Vec<u8>) {
        // A payload may have line breaks between its parts; within texts JSON has none.
        text.iter_mut()
            .filter(|byte| matches!(**byte, b'\n' | b'\r'))
            .for_each(|byte| *byte = b' ');
        if self.form == EVENTS {
            if let Some(sequence) = sequence {
                out.extend_from_slice(format!("id: {sequence}\n").as_bytes());
            }
            out.extend_from_slice(b"data: ");
        }
        out.extend_from_slice(&text);
        out.extend_from_slice(if self.form == EVENTS { b"\n\n" } else { b"\n" });
    }

    /// That nothing more will come: an event of its own, since browsers come again after an end.
    fn end(&self, out: &mut Vec<u8>) {
        if self.form == EVENTS {
            out.extend_from_slice(b"event: end\ndata: {}\n\n");
        }
    }

    /// That it broke: an event `error`, or a line with nothing but `problem`.
    fn problem(&self, status: &Status, out: &mut Vec<u8>) {
        let problem = Problem::of_status(status).about(&self.path, None).json();
        let (before, after): (&[u8], &[u8]) = match self.form {
            EVENTS => (b"event: error\ndata: ", b"\n\n"),
            _ => (b"{\"problem\":", b"}\n"),
        };
        for part in [before, &problem, after] {
            out.extend_from_slice(part);
        }
    }
}

/// The number after which a reader can go on.
fn sequence(message: &DynamicMessage) -> Option<u64> {
    let field = message.descriptor().get_field_by_name("sequence")?;
    message.get_field(&field).as_u64()
}

#[cfg(test)]
mod tests {
    use nexus_api::execution::v1::{LogLine, TailLogsResponse};
    use prost::Message as _;

    use super::*;

    fn shown(form: &'static str) -> Shown {
        let message = nexus_api::json::pool()
            .get_message_by_name("nexus.execution.v1.TailLogsResponse")
            .expect("message");
        Shown {
            form,
            field: message.get_field_by_name("lines"),
            message,
            path: "/x".to_owned(),
        }
    }

    fn told(form: &'static str) -> String {
        let line = |sequence, text: &str| LogLine {
            sequence,
            text: text.into(),
            ..LogLine::default()
        };
        let message = TailLogsResponse {
            lines: vec![line(4, "a\nb"), line(9, "c")],
        };
        let shown = shown(form);
        let message =
            DynamicMessage::decode(shown.message.clone(), message.encode_to_vec().as_slice()).expect("message");
        let mut out = Vec::new();
        shown.items(&message, &mut out);
        shown.end(&mut out);
        shown.problem(&Status::unavailable("away"), &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_list_is_told_item_by_item_with_the_number_to_go_on_after() {
        let line = |sequence: u64, text: &str| {
            format!(
                r#"{{"sequence":"{sequence}","time":null,"task":"","attempt":0,"stream":"STREAM_UNSPECIFIED","text":{text}}}"#
            )
        };
        let (first, second) = (line(4, "\"a\\nb\""), line(9, "\"c\""));
        let problem =
            r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"away","instance":"/x"}"#;
        assert_eq!(
            told(EVENTS),
            format!(
                "id: 4\ndata: {first}\n\nid: 9\ndata: {second}\n\nevent: end\ndata: {{}}\n\nevent: error\ndata: {problem}\n\n"
            )
        );
        assert_eq!(told(LINES), format!("{first}\n{second}\n{{\"problem\":{problem}}}\n"));
    }
}
