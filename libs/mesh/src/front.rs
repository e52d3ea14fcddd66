//! What a port does before a call is known to be gRPC: where somebody answers plain HTTP too, each request goes to
//! whom it is for. gRPC passes as it always did; gRPC-Web is put into gRPC's form; everything else is HTTP's.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response, Version, header};
use tonic::body::Body;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceExt};

/// What every media type of gRPC begins with, and those of gRPC-Web.
const GRPC: &str = "application/grpc";
const GRPC_WEB: &str = "application/grpc-web";

/// Whether a request that a browser may have made is let in: the headers that its answer gets, or the answer itself.
pub type Admit = dyn Fn(&Request<Body>) -> Result<HeaderMap, Box<Response<Body>>> + Send + Sync;

/// Who answers what is not gRPC.
#[derive(Clone)]
pub struct Http {
    /// Answers requests. It asks for itself whether they are let in.
    pub answers: BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>,
    /// Asked before gRPC-Web is served: the one kind of gRPC that web pages can speak.
    pub admit: Arc<Admit>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http")
    }
}

/// Sends each request to whom it is for.
#[derive(Debug, Clone)]
pub(crate) struct FrontLayer {
    http: Option<Http>,
}

impl FrontLayer {
    pub(crate) fn new(http: Option<Http>) -> Self {
        Self { http }
    }
}

impl<S: Clone> Layer<S> for FrontLayer {
    type Service = Front<S>;

    fn layer(&self, inner: S) -> Front<S> {
        Front {
            web: GrpcWebLayer::new().layer(inner.clone()),
            grpc: inner,
            http: self.http.clone(),
        }
    }
}

/// A port with several kinds of callers.
#[derive(Debug, Clone)]
pub(crate) struct Front<S> {
    grpc: S,
    web: GrpcWebService<S>,
    http: Option<Http>,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Grpc,
    Web,
    Http,
}

/// gRPC needs HTTP/2; what calls itself gRPC over an older one is told so in HTTP's words.
fn kind(request: &Request<Body>) -> Kind {
    let media_type = request.headers().get(header::CONTENT_TYPE);
    match media_type.map(http::HeaderValue::as_bytes).unwrap_or_default() {
        web if web.starts_with(GRPC_WEB.as_bytes()) => Kind::Web,
        grpc if grpc.starts_with(GRPC.as_bytes()) && request.version() == Version::HTTP_2 => Kind::Grpc,
        _ => Kind::Http,
    }
}

impl<S> Service<Request<Body>> for Front<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.grpc.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let http = match &self.http {
            Some(http) if kind(&request) != Kind::Grpc => http.clone(),
            _ => {
                let call = self.grpc.call(request);
                return Box::pin(async move { call.await.map_err(Into::into) });
            }
        };
        if kind(&request) == Kind::Http {
            return Box::pin(async move {
                match http.answers.oneshot(request).await {
                    Ok(answer) => Ok(answer),
                    Err(never) => match never {},
                }
            });
        }
        let admitted = match (http.admit)(&request) {
            Ok(admitted) => admitted,
            Err(answer) => return Box::pin(async move { Ok(*answer) }),
        };
        let call = self.web.clone().oneshot(request);
        Box::pin(async move {
            let mut answer = call.await.map_err(Into::into)?;
            answer.headers_mut().extend(admitted);
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn named(
        name: &'static str,
    ) -> impl Clone + Fn(Request<Body>) -> std::future::Ready<Result<Response<Body>, Infallible>> {
        move |_| {
            let mut answer = Response::new(Body::empty());
            answer.headers_mut().insert("by", http::HeaderValue::from_static(name));
            std::future::ready(Ok(answer))
        }
    }

    fn front(
        http: bool,
    ) -> Front<impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send>
    {
        let http = http.then(|| Http {
            answers: BoxCloneSyncService::new(tower::service_fn(named("http"))),
            admit: Arc::new(|request| match request.headers().contains_key("origin") {
                true => {
                    let mut refused = Response::new(Body::empty());
                    *refused.status_mut() = StatusCode::FORBIDDEN;
                    Err(Box::new(refused))
                }
                false => Ok(HeaderMap::from_iter([(
                    header::VARY,
                    http::HeaderValue::from_static("origin"),
                )])),
            }),
        });
        FrontLayer::new(http).layer(tower::service_fn(named("grpc")))
    }

    fn request(media_type: &str, version: Version) -> Request<Body> {
        let request = Request::post("/x.Y/Z")
            .header("content-type", media_type)
            .version(version);
        request.body(Body::empty()).expect("request")
    }

    #[tokio::test]
    async fn each_request_goes_to_whom_it_is_for() {
        for (media_type, version, by) in [
            ("application/grpc", Version::HTTP_2, "grpc"),
            ("application/grpc+proto", Version::HTTP_2, "grpc"),
            ("application/grpc", Version::HTTP_11, "http"),
            ("application/grpc-web+proto", Version::HTTP_11, "grpc"),
            ("application/json", Version::HTTP_2, "http"),
            ("", Version::HTTP_11, "http"),
        ] {
            let answer = front(true).oneshot(request(media_type, version)).await.expect("answer");
            assert_eq!(answer.headers()["by"], by, "{media_type} over {version:?}");
        }
        let answer = front(false).oneshot(request("application/json", Version::HTTP_2)).await;
        assert_eq!(
            answer.expect("answer").headers()["by"],
            "grpc",
            "where nobody speaks HTTP"
        );
    }

    #[tokio::test]
    async fn web_pages_are_asked_about_before_grpc_web_is_served() {
        let mut foreign = request("application/grpc-web", Version::HTTP_11);
        foreign
            .headers_mut()
            .insert("origin", http::HeaderValue::from_static("http://evil.example"));
        let answer = front(true).oneshot(foreign).await.expect("answer");
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        let own = front(true)
            .oneshot(request("application/grpc-web", Version::HTTP_11))
            .await;
        assert_eq!(own.expect("answer").headers()["vary"], "origin");
    }
}
