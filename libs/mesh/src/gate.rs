//! The door of a server: each call is asked who makes it before anything else is done for it. What counts as an answer is
//! decided elsewhere; here it is asked at the right moment, refusals are said in gRPC's words, and a stream whose caller may
//! no longer have it ends.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use nexus_api::method::Method;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service};

use crate::methods;

/// Comes when what was let in is no longer, with what its caller is told.
pub type Ended = Pin<Box<dyn Future<Output = Status> + Send>>;

/// Hears how a call that was let in was answered, by the headers of the answer.
pub type Answered = Box<dyn FnOnce(&HeaderMap) + Send>;

/// A call that was let in.
#[derive(Default)]
pub struct Admitted {
    /// When its answer has to end; never, for most.
    pub ended: Option<Ended>,
    /// Who wants to hear how it was answered; nobody, for most.
    pub answered: Option<Answered>,
}

/// Among the extensions of an answer: the call was passed on, and whoever answered it has heard of it.
#[derive(Debug, Clone, Copy)]
pub struct PassedOn;

/// Decides who is let in.
#[tonic::async_trait]
pub trait Gate: Send + Sync {
    /// Lets a call in or says why not. May add to its headers and extensions, by which handlers know their caller.
    /// For a call that answers with a stream it may tell when that has to end, and it may ask to hear the answer of any.
    ///
    /// # Errors
    /// What the caller is answered.
    async fn admit(&self, method: &'static Method, call: &mut Parts) -> Result<Admitted, Status>;
}

/// Asks a [`Gate`] about every call.
#[derive(Clone)]
pub(crate) struct GateLayer(Option<Arc<dyn Gate>>);

impl GateLayer {
    pub(crate) fn new(gate: Option<Arc<dyn Gate>>) -> Self {
        Self(gate)
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated {
            inner,
            gate: self.0.clone(),
        }
    }
}

/// A server with a door.
#[derive(Clone)]
pub(crate) struct Gated<S> {
    inner: S,
    gate: Option<Arc<dyn Gate>>,
}

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
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
        let Some(gate) = self.gate.clone() else {
            let call = self.inner.call(request);
            return Box::pin(async move { call.await.map_err(Into::into) });
        };
        // The one that was found ready is the one that is called.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let method = methods::of(parts.uri.path());
            let Admitted { ended, answered } = match gate.admit(method, &mut parts).await {
                Ok(admitted) => admitted,
                Err(refusal) => return Ok(refusal.into_http()),
            };
            let answer = inner.call(Request::from_parts(parts, body)).await.map_err(Into::into)?;
            if let Some(answered) = answered.filter(|_| answer.extensions().get::<PassedOn>().is_none()) {
                answered(answer.headers());
            }
            Ok(match ended {
                Some(ended) => answer.map(|body| Body::new(Bounded::new(body, ended))),
                None => answer,
            })
        })
    }
}

/// A service of the same process behind a door.
pub(crate) fn behind<S>(service: S, gate: Arc<dyn Gate>) -> BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    BoxCloneSyncService::new(GateLayer::new(Some(gate)).layer(service))
}

/// An answer that ends with a status of its own when its caller may no longer have it.
struct Bounded {
    body: Body,
    ended: Option<Ended>,
}

impl Bounded {
    fn new(body: Body, ended: Ended) -> Self {
        Self {
            body,
            ended: Some(ended),
        }
    }
}

impl HttpBody for Bounded {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(ended) = &mut self.ended else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(status) = ended.as_mut().poll(context) {
            self.ended = None;
            self.body = Body::empty();
            return Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// A status as the end of a stream.
fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        trailers.insert("grpc-status", (Code::Unauthenticated as i32).into());
    }
    trailers
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    /// Lets in whoever names himself, streams for a minute.
    struct Names;

    #[tonic::async_trait]
    impl Gate for Names {
        async fn admit(&self, method: &'static Method, call: &mut Parts) -> Result<Admitted, Status> {
            if !call.headers.contains_key("name") {
                return Err(Status::unauthenticated("who are you?"));
            }
            let ended: Ended = Box::pin(async {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Status::unauthenticated("no longer")
            });
            Ok(Admitted {
                ended: (!method.unary).then_some(ended),
                ..Admitted::default()
            })
        }
    }

    fn call(path: &str, name: Option<&'static str>) -> Request<Body> {
        let request = Request::builder().uri(path);
        let request = match name {
            Some(name) => request.header("name", name),
            None => request,
        };
        request.body(Body::empty()).expect("request")
    }

    const WATCH: &str = "/nexus.execution.v1.ExecutionService/WatchExecution";

    #[tokio::test(start_paused = true)]
    async fn who_is_not_let_in_is_told_and_a_stream_ends_when_it_has_to() {
        let endless = tower::service_fn(|_| async {
            let stream = futures::stream::pending::<Result<Frame<bytes::Bytes>, Status>>();
            Ok::<_, Infallible>(Response::new(Body::new(http_body_util::StreamBody::new(stream))))
        });
        let server = GateLayer::new(Some(Arc::new(Names))).layer(endless);
        let refused = server.clone().oneshot(call(WATCH, None)).await.expect("an answer");
        assert_eq!(refused.headers()["grpc-status"], "16");
        let stream = server.oneshot(call(WATCH, Some("a"))).await.expect("an answer");
        let mut body = stream.into_body();
        let early = tokio::time::timeout(Duration::from_secs(59), body.frame()).await;
        assert!(early.is_err(), "it goes on");
        let last = body.frame().await.expect("an end").expect("a frame");
        assert_eq!(last.trailers_ref().expect("trailers")["grpc-status"], "16");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_server_without_a_door_answers_everybody() {
        let server = GateLayer::new(None).layer(tower::service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
        let answer = server.oneshot(call(WATCH, None)).await.expect("an answer");
        assert!(!answer.headers().contains_key("grpc-status"));
    }
}
