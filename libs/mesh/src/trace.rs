//! A trace that travels: W3C `traceparent` goes out with every call and is taken up by every server.

use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use opentelemetry::propagation::{Extractor, Injector};
use tower::{Layer, Service};
use tracing::Span;
use tracing::instrument::Instrumented;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The W3C header that names a trace and a span.
pub const TRACEPARENT: &str = "traceparent";

struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(key.as_bytes()), HeaderValue::from_str(&value)) {
            self.0.insert(name, value);
        }
    }
}

struct HeaderView<'a>(&'a HeaderMap);

impl Extractor for HeaderView<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// The current span as a `traceparent`; empty when no trace is being recorded.
#[must_use]
pub fn current_traceparent() -> String {
    let mut headers = HeaderMap::new();
    inject(&mut headers);
    headers
        .get(TRACEPARENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}

/// The `traceparent` of a call: the span that serves it when traces are recorded, otherwise what the caller sent, so
/// that a trace goes through even where nobody records it. Empty when there is none, or it is malformed.
#[must_use]
pub fn traceparent_of(metadata: &tonic::metadata::MetadataMap) -> String {
    let current = current_traceparent();
    if !current.is_empty() {
        return current;
    }
    let sent = metadata.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    sent.filter(|sent| is_traceparent(sent)).unwrap_or_default().to_owned()
}

/// Whether a text has the form of W3C Trace Context, version 00: `00-<32 hex>-<16 hex>-<2 hex>`.
fn is_traceparent(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    let digits = |c: char| c == '-' || matches!(c, '0'..='9' | 'a'..='f');
    lengths.eq([2, 32, 16, 2]) && text.chars().all(digits)
}

/// Makes a span the child of the one that a `traceparent` names. One that is empty or malformed changes nothing.
pub fn continue_trace(span: &Span, traceparent: &str) {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(traceparent) {
        headers.insert(TRACEPARENT, value);
        extract(span, &headers);
    }
}

fn inject(headers: &mut HeaderMap) {
    let context = Span::current().context();
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut Headers(headers));
    });
}

fn extract(span: &Span, headers: &HeaderMap) {
    let context = opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&HeaderView(headers)));
    // Refused only when the span is disabled, and then there is nothing to link.
    let _unlinked = span.set_parent(context);
}

/// Sends the current trace with every call.
#[derive(Debug, Clone, Copy)]
pub struct InjectTraceLayer;

impl<S> Layer<S> for InjectTraceLayer {
    type Service = InjectTrace<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InjectTrace { inner }
    }
}

/// A client whose calls carry the current trace.
#[derive(Debug, Clone)]
pub struct InjectTrace<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for InjectTrace<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        inject(request.headers_mut());
        self.inner.call(request)
    }
}

/// A span for a request over plain HTTP, the child of the one that its headers name.
#[must_use]
pub fn http_span(method: &str, route: &str, headers: &HeaderMap) -> Span {
    let name = format!("{method} {route}");
    let span = tracing::info_span!(
        "http",
        otel.name = name,
        otel.kind = "server",
        http.request.method = method,
        http.route = route
    );
    extract(&span, headers);
    span
}

/// The id of the current trace, or of the one that a request's headers name; none when neither is there.
#[must_use]
pub fn trace_id(headers: &HeaderMap) -> Option<String> {
    let current = current_traceparent();
    let sent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let sent = sent.filter(|sent| is_traceparent(sent));
    let parent = if current.is_empty() { sent? } else { &current };
    parent.split('-').nth(1).map(str::to_owned)
}

/// Takes up the trace of every call in a span of its own.
#[derive(Debug, Clone, Copy)]
pub struct ServerSpanLayer;

impl<S> Layer<S> for ServerSpanLayer {
    type Service = ServerSpan<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ServerSpan { inner }
    }
}

/// A server whose calls run in spans.
#[derive(Debug, Clone)]
pub struct ServerSpan<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for ServerSpan<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        use tracing::Instrument;
        let path = request.uri().path().trim_start_matches('/');
        // Names follow OpenTelemetry's conventions for RPC spans.
        let span = tracing::info_span!("rpc", otel.name = path, otel.kind = "server", rpc.system = "grpc");
        extract(&span, request.headers());
        let future = { span.in_scope(|| self.inner.call(request)) };
        future.instrument(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_through_where_nobody_records_it() {
        let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut metadata = tonic::metadata::MetadataMap::new();
        assert_eq!(traceparent_of(&metadata), "");
        metadata.insert(TRACEPARENT, sent.parse().expect("header"));
        assert_eq!(traceparent_of(&metadata), sent);
        metadata.insert(TRACEPARENT, "00-short-x-01".parse().expect("header"));
        assert_eq!(traceparent_of(&metadata), "");
    }
}
