//! Every call has a deadline, and one that runs out answers `DEADLINE_EXCEEDED`.
//!
//! tonic's own timers answer `CANCELLED` on both sides; this layer reads `grpc-timeout` (the gRPC-over-HTTP/2 protocol's
//! header), fires a little before them and gives the right status. On streams it bounds the time to the first answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use tonic::Status;
use tonic::body::Body;
use tower::{BoxError, Layer, Service};

/// Fires this much before tonic's own timer.
const HEAD_START: Duration = Duration::from_millis(3);

/// Gives calls a deadline: the one that they carry, or `default`, whichever is shorter.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer {
    default: Option<Duration>,
}

impl DeadlineLayer {
    /// A layer with a longest time for calls that carry none; `None` leaves those unbounded (the server bounds them).
    #[must_use]
    pub fn new(default: Option<Duration>) -> Self {
        Self { default }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline {
            inner,
            default: self.default,
        }
    }
}

/// A service whose calls have deadlines.
#[derive(Debug, Clone)]
pub struct Deadline<S> {
    inner: S,
    default: Option<Duration>,
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let limit = match (carried(request.headers()), self.default) {
            (Some(carried), Some(default)) => Some(carried.min(default)),
            (carried, default) => carried.or(default),
        };
        let call = self.inner.call(request);
        Box::pin(async move {
            let Some(limit) = limit else {
                return call.await.map_err(Into::into);
            };
            match tokio::time::timeout(limit.saturating_sub(HEAD_START), call).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Ok(exceeded(limit).into_http()),
            }
        })
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
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
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
        headers.insert("grpc-timeout", value.parse().expect("header"));
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

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_ends_with_the_right_status() {
        let hangs = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, BoxError>>());
        let mut service = DeadlineLayer::new(Some(Duration::from_secs(1))).layer(hangs);
        let answer = service.call(Request::new(Body::empty())).await.expect("answer");
        let status = Status::from_header_map(answer.headers()).expect("status");
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        assert_eq!(
            nexus_api::error::reason_of(&status),
            Some(ErrorReason::DeadlineExceeded)
        );
    }
}
