//! How a generated client reaches a service: over the network or within the process.

use std::time::Duration;

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceExt};

use crate::deadline::DeadlineLayer;
use crate::trace::{InjectTraceLayer, ServerSpanLayer};

/// A boxed way to a service. Clients that are generated from a contract run over it.
/// What goes wrong on the way is a status: a peer that cannot be reached is UNAVAILABLE.
pub type Transport = BoxCloneSyncService<Request<Body>, Response<Body>, Status>;

/// Longest time to the first answer of any call; WaitExecution and PollTasks may take 60 s of it.
pub(crate) const LONGEST_CALL: Duration = Duration::from_secs(90);

/// A way over the network, connected when it is first used and again whenever it breaks.
///
/// # Errors
/// When the address is not an `http://` or `https://` URI.
pub fn connect(address: &str) -> Result<Transport, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(address.to_owned())?
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        // A silent peer is noticed while calls wait and while none do.
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true);
    Ok(framed(endpoint.connect_lazy()))
}

/// A way to a service of the same process: no socket, the same layers.
#[must_use]
pub fn in_process(routes: Routes) -> Transport {
    framed(ServerSpanLayer.layer(routes))
}

fn framed<S>(service: S) -> Transport
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send + 'static,
{
    let service = DeadlineLayer::new(Some(LONGEST_CALL)).layer(service.map_err(Into::<BoxError>::into));
    // A concrete error: the compiler cannot see that calls over a boxed one may change threads.
    let service = service.map_err(|error: BoxError| Status::from_error(error));
    BoxCloneSyncService::new(InjectTraceLayer.layer(service))
}
