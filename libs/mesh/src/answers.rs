//! Answers that say the truth: what the frame below the services answers of itself is put into the house's words.
//!
//! tonic calls a message that cannot be read INTERNAL, as if the server had a bug, and a call of this server's own that
//! ran out of time or was cut off comes through as CANCELLED, which no client repeats. Only the caller cancels, and then
//! nobody hears the answer; so neither code ever leaves a server for what was not meant by it. Statuses that services
//! made themselves carry their reason and stay.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use nexus_api::ErrorReason;
use nexus_api::error::{ApiError, reason_of};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{BoxError, Layer, Service};

/// Where an answer's code stands.
const GRPC_STATUS: &str = "grpc-status";

/// Mends the statuses of a server's answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerLayer;

impl<S> Layer<S> for AnswerLayer {
    type Service = Answers<S>;

    fn layer(&self, inner: S) -> Answers<S> {
        Answers { inner }
    }
}

/// A server whose answers are mended.
#[derive(Debug, Clone)]
pub(crate) struct Answers<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Answers<S>
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
        let call = self.inner.call(request);
        Box::pin(async move {
            let mut answer = call.await.map_err(Into::into)?;
            // An answer without a message has its status in the headers.
            if answer.headers().contains_key(GRPC_STATUS) {
                mend(answer.headers_mut());
                return Ok(answer);
            }
            Ok(answer.map(|body| Body::new(Mended { body })))
        })
    }
}

/// A body whose status, at its end, is mended.
struct Mended {
    body: Body,
}

impl HttpBody for Mended {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut polled = Pin::new(&mut self.body).poll_frame(context);
        match &mut polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    mend(trailers);
                }
            }
            Poll::Ready(Some(Err(status))) => {
                if let Some(truth) = truth(status) {
                    *status = truth;
                }
            }
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Puts the right status into the place of one that says something else than what happened.
fn mend(headers: &mut HeaderMap) {
    // Most answers are good, and reading a status costs.
    if headers.get(GRPC_STATUS).is_none_or(|code| code == "0") {
        return;
    }
    let truth = Status::from_header_map(headers).and_then(|status| truth(&status));
    if let Some(truth) = truth {
        // A status that has no header form stays as it was.
        let mut mended = headers.clone();
        if truth.add_header(&mut mended).is_ok() {
            *headers = mended;
        }
    }
}

/// What a status should say, where that is something else.
fn truth(status: &Status) -> Option<Status> {
    if reason_of(status).is_some() {
        return None;
    }
    let said = status.message();
    let error = match status.code() {
        Code::Cancelled if said.contains("Timeout expired") => {
            let message = "the server did not get to answer within the call's deadline";
            ApiError::new(ErrorReason::DeadlineExceeded, message)
        }
        Code::Cancelled => {
            let message = format!("a call that this one needed was cut off, and it may have taken effect: {said}");
            ApiError::new(ErrorReason::Interrupted, message)
        }
        Code::OutOfRange if said.starts_with("Error, decoded message length too large") => {
            let problem = said.trim_start_matches("Error, decoded ").to_owned();
            ApiError::new(
                ErrorReason::PayloadTooLarge,
                format!("the request is too large: {problem}"),
            )
        }
        Code::Internal => ApiError::new(ErrorReason::InvalidField, unreadable(said)?),
        _ => return None,
    };
    Some(error.into())
}

/// What is wrong with a request that could not be read, by what the codec says of it.
fn unreadable(said: &str) -> Option<String> {
    let problem = if let Some(problem) = said.strip_prefix("failed to decode Protobuf message: ") {
        format!("it is not the message that the method takes ({problem})")
    } else if said.starts_with("protocol error: received message with") || said.starts_with("Error decompressing") {
        said.to_owned()
    } else if said.starts_with("Unexpected EOF decoding stream") {
        "it ends before the length that it announces".to_owned()
    } else if said.starts_with("Missing request message") {
        "there is no message in it".to_owned()
    } else {
        return None;
    };
    Some(format!("the request cannot be read: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(status: &Status) -> Status {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).expect("headers");
        mend(&mut headers);
        assert_eq!(headers.get_all(GRPC_STATUS).iter().count(), 1);
        Status::from_header_map(&headers).expect("status")
    }

    #[test]
    fn what_only_sounds_like_a_bug_or_a_cancel_is_told_as_it_is() {
        let cases = [
            (Status::cancelled("Timeout expired"), Code::DeadlineExceeded),
            (Status::cancelled("h2 protocol error: stream reset"), Code::Unavailable),
            (
                Status::internal("failed to decode Protobuf message: invalid varint"),
                Code::InvalidArgument,
            ),
            (
                Status::internal("Unexpected EOF decoding stream."),
                Code::InvalidArgument,
            ),
            (Status::internal("Missing request message."), Code::InvalidArgument),
            (
                Status::internal("protocol error: received message with invalid compression flag: 7"),
                Code::InvalidArgument,
            ),
            (
                Status::out_of_range("Error, decoded message length too large: found 9 bytes, the limit is: 4 bytes"),
                Code::InvalidArgument,
            ),
        ];
        for (status, code) in cases {
            let told = mended(&status);
            assert_eq!(told.code(), code, "{status:?}");
            assert!(reason_of(&told).is_some(), "{told:?}");
        }
    }

    #[test]
    fn what_a_service_said_stays() {
        let own = Status::from(ApiError::new(
            ErrorReason::Internal,
            "failed to decode Protobuf message: of its own",
        ));
        for status in [
            own,
            Status::internal("something else broke"),
            Status::unimplemented("no such method"),
            Status::out_of_range("page"),
            Status::not_found("x"),
        ] {
            let told = mended(&status);
            assert_eq!((told.code(), told.message()), (status.code(), status.message()));
        }
        let mut good = HeaderMap::new();
        good.insert(GRPC_STATUS, "0".parse().expect("value"));
        mend(&mut good);
        assert_eq!(good.len(), 1);
    }
}
