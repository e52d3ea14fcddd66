//! Load is shed before it hurts: beyond a number of calls under way a new one is refused at once, with a delay after
//! which to come again. What the contracts call critical or waiting is neither refused nor counted: a report that is shed
//! is work done twice.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use nexus_api::method::LoadClass;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tower::{BoxError, Layer, Service};

use crate::methods;

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
        let place = if is_exempt(methods::of(request.uri().path()).load_class) {
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

fn is_exempt(class: LoadClass) -> bool {
    match class {
        LoadClass::Critical | LoadClass::Waiting => true,
        LoadClass::Interactive | LoadClass::Unspecified => false,
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::StatusExt;

    use super::*;

    fn call(path: &str) -> Request<Body> {
        Request::builder().uri(path).body(Body::empty()).expect("request")
    }

    #[tokio::test(start_paused = true)]
    async fn just_as_many_calls_as_allowed_are_served_and_those_that_must_not_be_lost_always() {
        let waits = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, BoxError>>());
        let mut server = ShedLayer::new(2).layer(waits);
        let get = "/nexus.execution.v1.ExecutionService/GetExecution";
        let first = server.call(call(get));
        let _second = server.call(call(get));
        for refused in [
            get,
            "/nexus.execution.v1.ExecutionService/WatchExecution",
            "/nexus.definitions.v1.DefinitionsService/ApplyWorkflow",
            "/made.up/Thing",
            "/grpc.made.up/Thing",
        ] {
            let answer = server.call(call(refused)).await.expect("answer");
            let status = Status::from_header_map(answer.headers()).expect("status");
            assert_eq!(status.code(), Code::ResourceExhausted, "{refused}");
            let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
            assert!(delay.is_some(), "{refused}");
        }
        for served in [
            "/grpc.health.v1.Health/Check",
            "/grpc.health.v1.Health/Watch",
            "/nexus.worker.v1.WorkerService/ReportTasks",
            "/nexus.worker.v1.WorkerService/PollTasks",
            "/nexus.execution.v1.ExecutionService/WaitExecution",
            "/nexus.shard.v1.ShardService/ReportLeases",
            "/nexus.shard.v1.ShardService/IdentifyReplica",
        ] {
            assert!(is_served(&mut server, served).await, "{served}");
        }
        drop(first);
        assert!(is_served(&mut server, get).await, "a place is free");
    }

    /// Whether a call reaches the service, which never answers.
    async fn is_served<S>(server: &mut Shed<S>, path: &str) -> bool
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = BoxError>,
        S::Future: Send + 'static,
    {
        let served = server.call(call(path));
        tokio::time::timeout(Duration::from_millis(20), served).await.is_err()
    }
}
