//! Smaller answers for those who take them so (`Accept-Encoding: gzip`).

use std::convert::Infallible;

use http::{Extensions, HeaderMap, Request, Response, StatusCode, Version, header};
use tonic::body::Body;
use tower::{Service, ServiceExt};
use tower_http::compression::Compression;
use tower_http::compression::predicate::{Predicate, SizeAbove};

use crate::stream::FORMS;

/// Bytes that an answer has at least: below it the time is not worth it.
const FROM: u16 = 1_024;

/// Streams are left as they are: what is said there must be heard at once.
fn is_whole(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.is_none_or(|media_type| !FORMS.iter().any(|form| media_type.starts_with(form)))
}

/// A service with smaller answers.
pub(crate) fn answers<S>(
    service: S,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    Compression::new(service)
        .gzip(true)
        .compress_when(SizeAbove::new(FROM).and(is_whole))
        .map_response(|answer: Response<_>| answer.map(Body::new))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn answer(media_type: &'static str, bytes: usize, accepts: &str) -> (bool, usize) {
        let service = tower::service_fn(move |_: Request<Body>| async move {
            let body = crate::body::full("a".repeat(bytes));
            let answer = Response::builder().header(header::CONTENT_TYPE, media_type).body(body);
            Ok::<_, Infallible>(answer.expect("an answer"))
        });
        let request = Request::get("/").header(header::ACCEPT_ENCODING, accepts);
        let request = request.body(Body::empty()).expect("a request");
        let answer = answers(service).oneshot(request).await.expect("an answer");
        let smaller = answer.headers().get(header::CONTENT_ENCODING).is_some();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (smaller, body.len())
    }

    #[tokio::test]
    async fn what_is_long_is_made_smaller_for_those_who_take_it_so_and_streams_are_not() {
        let (smaller, bytes) = answer("application/json", 10_000, "gzip, br").await;
        assert!(smaller && bytes < 200, "{bytes}");
        assert_eq!(answer("application/json", 10_000, "identity").await, (false, 10_000));
        assert_eq!(answer("application/json", 1_000, "gzip").await, (false, 1_000));
        for stream in FORMS {
            assert_eq!(answer(stream, 10_000, "gzip").await, (false, 10_000), "{stream}");
        }
    }
}
