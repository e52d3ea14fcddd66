//! What a request may be like before anybody looks into it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use nexus_api::ErrorReason;
use tokio::time::timeout;
use tonic::Status;
use tonic::body::Body;

use crate::problem::Problem;
use crate::request::too_large;

/// Bytes of an address at most.
pub(crate) const MAX_ADDRESS: usize = 8 << 10;
/// Bytes of all headers at most, and how many.
pub(crate) const MAX_HEADER_BYTES: usize = 16 << 10;
pub(crate) const MAX_HEADERS: usize = 100;
/// Bytes of a body at most for what anybody may call without a credential.
pub(crate) const OF_ANYBODY: usize = 64 << 10;
/// How many times its limit is read of a body that is too long.
const THROWN_AWAY: usize = 4;
/// How long a body may take to come.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(30);

/// Checks a request's address and headers.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    let address = request
        .uri()
        .path_and_query()
        .map_or(0, |address| address.as_str().len());
    if address > MAX_ADDRESS {
        let detail = format!("the address has {address} bytes, at most {MAX_ADDRESS} are taken");
        return Err(Problem::plain(StatusCode::URI_TOO_LONG, detail));
    }
    let (count, bytes) = size(request.headers());
    if count > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        let detail = format!(
            "there are {count} headers of {bytes} bytes, at most {MAX_HEADERS} of {MAX_HEADER_BYTES} are taken together"
        );
        return Err(Problem::plain(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, detail));
    }
    Ok(())
}

fn size(headers: &HeaderMap) -> (usize, usize) {
    let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    (headers.len(), bytes.sum())
}

/// Reads a body up to its limit. What comes beyond is read on for a while and thrown away: a caller that still sends would not
/// see the answer. One that asks first whether it may send is told at once.
pub(crate) async fn body(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let too_long = announced.is_some_and(|length| length > most as u64);
    if too_long && headers.contains_key(header::EXPECT) {
        return Err(too_large(most));
    }
    match timeout(BODY_TIME, read(body, most, too_long)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(too_large(most)),
        Ok(Err(_)) => Err(Problem::plain(
            StatusCode::BAD_REQUEST,
            "the body broke off before its end",
        )),
        Err(_) if too_long => Err(too_large(most)),
        Err(_) => {
            let detail = format!("the body did not come within {} s", BODY_TIME.as_secs());
            Err(Problem::of(
                StatusCode::REQUEST_TIMEOUT,
                ErrorReason::DeadlineExceeded,
                detail,
            ))
        }
    }
}

/// The bytes; none when there are too many.
async fn read(mut body: Body, most: usize, mut beyond: bool) -> Result<Option<Bytes>, Status> {
    let (mut kept, mut all) = (BytesMut::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame?.into_data() else { continue };
        all = all.saturating_add(bytes.len());
        if all > most {
            beyond = true;
            kept = BytesMut::new();
        }
        if all > most.saturating_mul(THROWN_AWAY) {
            return Ok(None);
        }
        if !beyond {
            kept.extend_from_slice(&bytes);
        }
    }
    Ok((!beyond).then(|| kept.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::full;

    fn status(request: http::request::Builder) -> u16 {
        let checked = check(&request.body(()).expect("request"));
        checked.map_or_else(|problem| problem.status.as_u16(), |()| 200)
    }

    #[test]
    fn addresses_and_headers_are_taken_just_up_to_their_limits() {
        let address = |bytes: usize| Request::get(format!("/{}", "x".repeat(bytes - 1)));
        assert_eq!(status(address(MAX_ADDRESS)), 200);
        assert_eq!(status(address(MAX_ADDRESS + 1)), 414);
        let header = |bytes: usize| Request::get("/").header("x", "y".repeat(bytes - 1));
        assert_eq!(status(header(MAX_HEADER_BYTES)), 200);
        assert_eq!(status(header(MAX_HEADER_BYTES + 1)), 431);
        let many =
            |count: usize| (0..count).fold(Request::get("/"), |request, at| request.header(format!("x{at}"), ""));
        assert_eq!(status(many(MAX_HEADERS)), 200);
        assert_eq!(status(many(MAX_HEADERS + 1)), 431);
    }

    #[tokio::test]
    async fn bodies_are_taken_just_up_to_their_limit_announced_or_not() {
        let none = HeaderMap::new();
        assert_eq!(body(&none, full(vec![7; 64]), 64).await.expect("body").len(), 64);
        assert_eq!(
            body(&none, full(vec![7; 65]), 64)
                .await
                .expect_err("too large")
                .status
                .as_u16(),
            413
        );
        let mut announced = HeaderMap::new();
        announced.insert(header::CONTENT_LENGTH, "65".parse().expect("length"));
        assert_eq!(
            body(&announced, full(""), 64)
                .await
                .expect_err("too large")
                .status
                .as_u16(),
            413
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let never = Body::new(http_body_util::StreamBody::new(futures::stream::pending::<
            Result<http_body::Frame<Bytes>, tonic::Status>,
        >()));
        let refused = body(&HeaderMap::new(), never, 64).await.expect_err("given up");
        assert_eq!(refused.status.as_u16(), 408);
    }
}
