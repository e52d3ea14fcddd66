//! gRPC for services of other processes: a call to the gateway's port goes on as it came, so that one address is enough for
//! gRPC and gRPC-Web too. Workers do without: their streams are with one replica, and last.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use nexus_mesh::Transport;
use nexus_mesh::gate::PassedOn;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::{Service, ServiceExt};

/// A service of the contracts, as a type.
pub trait Named: Clone + Send + Sync + 'static {
    /// Its name.
    const NAME: &'static str;
}

/// The definitions service.
#[derive(Debug, Clone, Copy)]
pub struct Definitions;

impl Named for Definitions {
    const NAME: &'static str = "nexus.definitions.v1.DefinitionsService";
}

/// The execution service.
#[derive(Debug, Clone, Copy)]
pub struct Executions;

impl Named for Executions {
    const NAME: &'static str = "nexus.execution.v1.ExecutionService";
}

/// The scheduling service.
#[derive(Debug, Clone, Copy)]
pub struct Schedules;

impl Named for Schedules {
    const NAME: &'static str = "nexus.scheduling.v1.SchedulingService";
}

/// Who somebody is, and logging in.
#[derive(Debug, Clone, Copy)]
pub struct Authentication;

impl Named for Authentication {
    const NAME: &'static str = "nexus.access.v1.AuthenticationService";
}

/// Users, roles, keys and sessions.
#[derive(Debug, Clone, Copy)]
pub struct Access;

impl Named for Access {
    const NAME: &'static str = "nexus.access.v1.AccessService";
}

/// The audit log.
#[derive(Debug, Clone, Copy)]
pub struct Audit;

impl Named for Audit {
    const NAME: &'static str = "nexus.audit.v1.AuditService";
}

/// Channels, rules and messages.
#[derive(Debug, Clone, Copy)]
pub struct Notifications;

impl Named for Notifications {
    const NAME: &'static str = "nexus.notifications.v1.NotificationsService";
}

/// Passes a service's calls on.
#[derive(Clone)]
pub struct Forward<N> {
    way: Transport,
    named: PhantomData<N>,
}

impl<N: Named> Forward<N> {
    /// Passes calls on over a way.
    #[must_use]
    pub fn new(way: Transport) -> Self {
        Self {
            way,
            named: PhantomData,
        }
    }
}

impl<N: Named> NamedService for Forward<N> {
    const NAME: &'static str = N::NAME;
}

impl<N: Named> Service<Request<Body>> for Forward<N> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Each call has a way of its own, which it waits for itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = self.way.clone().oneshot(request);
        async move {
            let mut answer = call.await.unwrap_or_else(|status| status.into_http());
            answer.extensions_mut().insert(PassedOn);
            Ok(answer)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tower::util::BoxCloneSyncService;

    use super::*;

    #[tokio::test]
    async fn a_call_goes_on_as_it_came_and_a_way_that_is_closed_is_told() {
        let far = tower::service_fn(|request: Request<Body>| async move {
            match request.uri().path() {
                "/nexus.definitions.v1.DefinitionsService/GetWorkflow" => Ok(Response::new(request.into_body())),
                _ => Err(Status::unavailable("away")),
            }
        });
        let forward = Forward::<Definitions>::new(BoxCloneSyncService::new(far));
        let request = |path: &str| Request::post(path).body(crate::body::full("abc")).expect("request");
        let path = "/nexus.definitions.v1.DefinitionsService/GetWorkflow";
        let answer = forward.clone().oneshot(request(path)).await.expect("answer");
        let body = http_body_util::BodyExt::collect(answer.into_body())
            .await
            .expect("body");
        assert_eq!(body.to_bytes(), "abc");
        let answer = forward.oneshot(request("/x")).await.expect("answer");
        assert_eq!(
            Status::from_header_map(answer.headers()).expect("status").message(),
            "away"
        );
    }
}
