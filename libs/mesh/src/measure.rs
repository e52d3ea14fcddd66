//! Every call that a server answers is measured, under the names of the contracts only: a path that somebody made up
//! counts as `other`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{BoxError, Layer, Service};

use crate::methods;

const SECONDS: &str = "nexus_rpc_server_duration_seconds";

/// Describes every metric of the frame; to be called once at the start.
pub fn describe() {
    metrics::describe_histogram!(
        SECONDS,
        "Time of a call until its answer was complete, by service, method and code."
    );
    crate::retry::describe();
    crate::incoming::describe();
    crate::shed::describe();
}

/// Measures a server's calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MeasureLayer;

impl<S> Layer<S> for MeasureLayer {
    type Service = Measure<S>;

    fn layer(&self, inner: S) -> Measure<S> {
        Measure { inner }
    }
}

/// A server whose calls are measured.
#[derive(Debug, Clone)]
pub(crate) struct Measure<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Measure<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut timer = Timer::start(request.uri().path());
        let call = self.inner.call(request);
        Box::pin(async move {
            let answer = call.await.map_err(Into::into)?;
            // An answer without a message has its status in the headers.
            if let Some(code) = code_of(answer.headers()) {
                timer.end(code);
                return Ok(answer);
            }
            Ok(answer.map(|body| Body::new(Measured { body, timer })))
        })
    }
}

/// Records once: at the end, or when it is dropped before.
struct Timer {
    labels: (&'static str, &'static str),
    begun: Instant,
    ended: bool,
}

impl Timer {
    fn start(path: &str) -> Self {
        let method = methods::of(path);
        Self {
            labels: (method.service, method.name),
            begun: Instant::now(),
            ended: false,
        }
    }

    fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let (service, method) = self.labels;
        let took = self.begun.elapsed();
        metrics::histogram!(SECONDS, "service" => service, "method" => method, "code" => code_name(code)).record(took);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // Nobody waited for the end.
        self.end(Code::Cancelled);
    }
}

fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

fn code_name(code: Code) -> &'static str {
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

/// A body whose end is the call's end.
struct Measured {
    body: Body,
    timer: Timer,
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(frame) = &polled {
            match frame {
                Some(Ok(frame)) => {
                    if let Some(trailers) = frame.trailers_ref() {
                        self.timer.end(code_of(trailers).unwrap_or(Code::Unknown));
                    }
                }
                Some(Err(status)) => self.timer.end(status.code()),
                None => self.timer.end(Code::Ok),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
