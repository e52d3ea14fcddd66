//! Every call has a deadline, and one that runs out answers `DEADLINE_EXCEEDED`.
//!
//! tonic's own timers answer `CANCELLED` on both sides; this layer reads `grpc-timeout` (the gRPC-over-HTTP/2 protocol's
//! header), fires a little before them and gives the right status. On streams it bounds the time to the first answer.
//!
//! A call has what it carries, and never more than the longest time that its method's contract names.
//!
//! Deadlines travel: what a server has left of a call is the most that the calls take which it makes meanwhile, in the
//! same task, and they carry it on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response};
use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::{BoxError, Layer, Service};

use crate::methods;

/// Fires this much before tonic's own timer.
const HEAD_START: Duration = Duration::from_millis(3);
/// The header of a call's time limit.
const HEADER: &str = "grpc-timeout";

tokio::task_local! {
    /// When the call that this task serves must have been answered.
    static ANSWER_BY: Instant;
}

/// What the call that the current task serves has left; none outside of a call.
#[must_use]
pub fn remaining() -> Option<Duration> {
    let left = |by: &Instant| by.saturating_duration_since(Instant::now());
    ANSWER_BY.try_with(left).ok()
}

/// Gives calls a deadline: the one that they carry, or their method's longest time, whichever is shorter.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer {
    side: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

impl DeadlineLayer {
    /// For a server: a call has what it carries, its method's longest time at most, and what it calls has the rest.
    #[must_use]
    pub fn server() -> Self {
        Self { side: Side::Server }
    }

    /// For a client: a call has what it carries and what the call has left that is being served, its method's longest time
    /// at most.
    #[must_use]
    pub fn client() -> Self {
        Self { side: Side::Client }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline { inner, layer: *self }
    }
}

/// A service whose calls have deadlines.
#[derive(Debug, Clone)]
pub struct Deadline<S> {
    inner: S,
    layer: DeadlineLayer,
}

impl<S> Service<Request<Body>> for Deadline<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let side = self.layer.side;
        let longest = methods::of(request.uri().path()).longest_time;
        let carried = carried(request.headers());
        let inherited = remaining().filter(|_| side == Side::Client);
        let limit = [carried, inherited].into_iter().flatten().fold(longest, Duration::min);
        if inherited.is_some_and(|inherited| inherited <= limit) && carried != Some(limit) {
            request.headers_mut().insert(HEADER, written(limit));
        }
        let call = self.inner.call(request);
        Box::pin(async move {
            let by = Instant::now() + limit;
            let bounded = tokio::time::timeout(limit.saturating_sub(HEAD_START), call);
            let answer = match side {
                Side::Server => ANSWER_BY.scope(by, bounded).await,
                Side::Client => bounded.await,
            };
            match answer {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Ok(exceeded(limit).into_http()),
            }
        })
    }
}

/// A time limit as the header writes it: milliseconds, as far as eight digits go.
fn written(limit: Duration) -> HeaderValue {
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    match HeaderValue::from_str(&format!("{}m", millis.min(99_999_999))) {
        Ok(value) => value,
        // Digits and a letter are always a value.
        Err(_) => HeaderValue::from_static("90S"),
    }
}

fn exceeded(limit: Duration) -> Status {
    let message = format!(
        "the call did not finish within its deadline of {} ms",
        limit.as_millis()
    );
    ApiError::new(ErrorReason::DeadlineExceeded, message).into()
}

/// The time that a request's `grpc-timeout` header leaves it.
fn carried(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, value.parse().expect("header"));
        carried(&headers)
    }

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        assert_eq!(header("2S"), Some(Duration::from_secs(2)));
        assert_eq!(header("150m"), Some(Duration::from_millis(150)));
        assert_eq!(header("1H"), Some(Duration::from_secs(3600)));
        for wrong in ["", "S", "1", "123456789S", "1x", "-1S"] {
            assert_eq!(header(wrong), None, "{wrong}");
        }
    }

    const GET: &str = "/nexus.execution.v1.ExecutionService/GetExecution";
    const WAIT: &str = "/nexus.execution.v1.ExecutionService/WaitExecution";

    /// Calls what never answers; gives how long that takes and the status at the end.
    async fn hang(layer: DeadlineLayer, path: &str, carried: Option<&str>) -> (Duration, Status) {
        let hangs = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, BoxError>>());
        let mut request = Request::builder().uri(path);
        if let Some(carried) = carried {
            request = request.header(HEADER, carried);
        }
        let begun = Instant::now();
        let request = request.body(Body::empty()).expect("request");
        let answer = layer.layer(hangs).call(request).await.expect("answer");
        let status = Status::from_header_map(answer.headers()).expect("status");
        (begun.elapsed() + HEAD_START, status)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_ends_after_its_methods_longest_time_with_the_right_status() {
        let longest = |path| nexus_api::method::method(path).expect("method").longest_time;
        assert!(longest(GET) < longest(WAIT), "or this test tells nothing apart");
        for layer in [DeadlineLayer::server(), DeadlineLayer::client()] {
            for path in [GET, WAIT] {
                let (took, status) = hang(layer, path, None).await;
                assert_eq!(took, longest(path), "{path}");
                assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
                assert_eq!(
                    nexus_api::error::reason_of(&status),
                    Some(ErrorReason::DeadlineExceeded)
                );
                assert_eq!(hang(layer, path, Some("1H")).await.0, longest(path), "never more");
                assert_eq!(hang(layer, path, Some("2S")).await.0, Duration::from_secs(2), "less");
            }
            let unknown = hang(layer, "/made.up/Thing", None).await.0;
            assert_eq!(unknown, methods::of("/made.up/Thing").longest_time);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_call_is_all_that_its_own_calls_have() {
        let far = tower::service_fn(|request: Request<Body>| async move {
            let left = carried(request.headers()).map_or(0, |left| left.as_millis());
            let mut answer = Response::new(Body::empty());
            answer
                .headers_mut()
                .insert("left", left.to_string().parse().expect("header"));
            Ok::<_, BoxError>(answer)
        });
        let near = tower::service_fn(move |_: Request<Body>| async move {
            tokio::time::sleep(Duration::from_millis(400)).await;
            let mut client = DeadlineLayer::client().layer(far);
            client.call(Request::new(Body::empty())).await
        });
        let mut server = DeadlineLayer::server().layer(near);
        let request = Request::builder().header(HEADER, "1S").body(Body::empty());
        let answer = server.call(request.expect("request")).await.expect("answer");
        assert_eq!(answer.headers()["left"], "600");
        assert_eq!(remaining(), None, "outside of a call there is no deadline");
    }
}
