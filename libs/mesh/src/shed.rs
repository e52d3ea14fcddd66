//! Load is shed before it hurts: beyond a number of calls under way a new one is refused at once, with a delay after
//! which to come again. Health, reflection, workers and waits are never refused: a report that is shed is work done twice.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tower::{BoxError, Layer, Service};

const SHED: &str = "nexus_rpc_server_shed_total";

/// Describes the metric; to be called once at the start.
pub(crate) fn describe() {
    metrics::describe_counter!(SHED, "Calls that were refused because too many were under way.");
}

/// Refuses calls beyond a number.
#[derive(Debug, Clone)]
pub(crate) struct ShedLayer {
    places: Arc<Semaphore>,
    most: usize,
}

impl ShedLayer {
    pub(crate) fn new(most: usize) -> Self {
        let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { places, most }
    }
}

impl<S> Layer<S> for ShedLayer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Shed<S> {
        Shed {
            inner,
            layer: self.clone(),
        }
    }
}

/// A server that refuses calls beyond a number.
#[derive(Debug, Clone)]
pub(crate) struct Shed<S> {
    inner: S,
    layer: ShedLayer,
}

impl<S> Service<Request<Body>> for Shed<S>
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
        let place = if is_exempt(request.uri().path()) {
            None
        } else {
            let Ok(place) = Arc::clone(&self.layer.places).try_acquire_owned() else {
                metrics::counter!(SHED).increment(1);
                let answer = refusal(self.layer.most).into_http();
                return Box::pin(std::future::ready(Ok(answer)));
            };
            Some(place)
        };
        let call = self.inner.call(request);
        Box::pin(async move {
            let answer = call.await.map_err(Into::into);
            drop(place);
            answer
        })
    }
}

fn refusal(most: usize) -> Status {
    // A random delay, so that those who were refused together do not come again together.
    let delay = Duration::from_millis(fastrand::u64(500..1_500));
    let message = format!("{most} calls are under way already, limits.max_in_flight; come again in a moment");
    ApiError::new(ErrorReason::Overloaded, message)
        .retry_after(delay)
        .into()
}

fn is_exempt(path: &str) -> bool {
    path.starts_with("/grpc.") || path.starts_with("/nexus.worker.") || path.ends_with("/WaitExecution")
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::StatusExt;

    use super::*;

    fn call(path: &str) -> Request<Body> {
        Request::builder().uri(path).body(Body::empty()).expect("request")
    }

    #[tokio::test]
    async fn just_as_many_calls_as_allowed_are_served_and_workers_always() {
        let waits = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, BoxError>>());
        let mut server = ShedLayer::new(2).layer(waits);
        let get = "/nexus.execution.v1.ExecutionService/GetExecution";
        let first = server.call(call(get));
        let _second = server.call(call(get));
        let refused = server.call(call(get)).await.expect("answer");
        let status = Status::from_header_map(refused.headers()).expect("status");
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(
            status
                .get_details_retry_info()
                .is_some_and(|info| info.retry_delay.is_some())
        );
        for path in [
            "/grpc.health.v1.Health/Check",
            "/nexus.worker.v1.WorkerService/ReportTasks",
        ] {
            let served = server.call(call(path));
            assert!(
                tokio::time::timeout(Duration::from_millis(20), served).await.is_err(),
                "{path}"
            );
        }
        drop(first);
        let again = server.call(call(get));
        assert!(
            tokio::time::timeout(Duration::from_millis(20), again).await.is_err(),
            "a place is free"
        );
    }
}
