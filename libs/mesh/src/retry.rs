//! Calls that failed are made again, where that cannot do anything twice, and never so often that it becomes a storm.
//!
//! The rule, for calls with one request and one answer:
//!
//! | what came back | repeated when |
//! |---|---|
//! | no connection was made, or the request never left | always: nobody has seen it |
//! | UNAVAILABLE with the reason NOT_OWNER or SHUTTING_DOWN | always: the server says that it did nothing |
//! | any other UNAVAILABLE, or the connection broke on the way | the method's contract says that it is idempotent, always or with a `request_id` that the request has |
//! | everything else, RESOURCE_EXHAUSTED too | never: an overloaded server is not helped by more calls |
//!
//! At most four tries, within the call's deadline, after a wait that grows and is random (or that the server named), on
//! another replica where there is one. Repetitions cost tokens: one each, of which every call brings a fifth. So they are at
//! most 20 % of the calls, beyond a reserve of ten.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use nexus_api::method::Method;
use parking_lot::Mutex;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::{BoxError, Service, ServiceExt};

use crate::methods;

/// Tries of one call, the first one counted.
const TRIES: u32 = 4;
/// Larger requests are sent once: they would have to be kept.
const LARGEST: usize = 1 << 20;
/// Longest wait before a try.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const FIRST_WAIT: Duration = Duration::from_millis(30);
/// A token, a call's share of one, what the bucket holds at first, and at most: the calls that one frozen replica kept.
const TOKEN: i64 = 1_000;
const SHARE: i64 = 200;
const RESERVE: i64 = 10 * TOKEN;
const MOST: i64 = 100 * TOKEN;

const RETRIES: &str = "nexus_rpc_client_retries_total";

/// Who has been asked already, so that a repeated call goes to somebody else.
#[derive(Clone, Default)]
pub(crate) struct Tried(Arc<Mutex<Vec<std::net::SocketAddr>>>);

impl Tried {
    pub(crate) fn note(&self, address: std::net::SocketAddr) {
        self.0.lock().push(address);
    }

    pub(crate) fn has(&self, address: std::net::SocketAddr) -> bool {
        self.0.lock().contains(&address)
    }
}

/// The tokens of one way to a service.
#[derive(Debug)]
struct Budget(AtomicI64);

impl Budget {
    fn deposit(&self) {
        let add = |tokens: i64| Some((tokens + SHARE).min(MOST));
        // The closure always gives a value.
        let _always = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    fn withdraw(&self) -> bool {
        let take = |tokens: i64| (tokens >= TOKEN).then(|| tokens - TOKEN);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// A client that repeats what may be repeated.
#[derive(Clone)]
pub(crate) struct Retry<S> {
    inner: S,
    budget: Arc<Budget>,
}

impl<S> Retry<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            budget: Arc::new(Budget(AtomicI64::new(RESERVE))),
        }
    }
}

type Answer = Result<Response<Body>, BoxError>;

impl<S> Service<Request<Body>> for Retry<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Each try waits for itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = self.inner.clone();
        let method = methods::of(request.uri().path());
        if method.unary {
            Box::pin(repeat(inner, Arc::clone(&self.budget), method, request))
        } else {
            Box::pin(inner.oneshot(request))
        }
    }
}

async fn repeat<S>(inner: S, budget: Arc<Budget>, method: &'static Method, request: Request<Body>) -> Answer
where
    S: Service<Request<Body>, Response = Response<Body>, Error = BoxError> + Clone + Send,
    S::Future: Send,
{
    budget.deposit();
    let (mut head, body) = request.into_parts();
    // A unary request is in memory already; this gathers it in one piece.
    let body: Bytes = body.collect().await?.to_bytes();
    let repeatable = methods::is_repeatable(method, &body);
    head.extensions.insert(Tried::default());
    let mut tries = 1;
    loop {
        let request = Request::from_parts(head.clone(), Body::new(Full::new(body.clone())));
        let answer = inner.clone().oneshot(request).await;
        let Some(named) = verdict(&answer, repeatable) else {
            return answer.map_err(broken);
        };
        if tries == TRIES || body.len() > LARGEST || !budget.withdraw() {
            return answer.map_err(broken);
        }
        metrics::counter!(RETRIES, "service" => method.service, "method" => method.name).increment(1);
        tokio::time::sleep(wait(tries, named)).await;
        tries += 1;
    }
}

/// Describes the metric; to be called once at the start.
pub(crate) fn describe() {
    metrics::describe_counter!(
        RETRIES,
        "Calls that were made again after a failure, by service and method."
    );
}

/// None when the answer stands; otherwise what the server says about when to come again.
fn verdict(answer: &Answer, repeatable: bool) -> Option<Option<Duration>> {
    match answer {
        Ok(response) => {
            // Only an answer without a message has its status in the headers.
            let status = Status::from_header_map(response.headers())?;
            if status.code() != Code::Unavailable {
                return None;
            }
            let nothing_done = matches!(
                reason_of(&status),
                Some(ErrorReason::NotOwner | ErrorReason::ShuttingDown)
            );
            let named = status.get_details_retry_info().and_then(|info| info.retry_delay);
            (nothing_done || repeatable).then_some(named)
        }
        Err(error) => (never_sent(error) || repeatable).then_some(None),
    }
}

/// A call that came to no answer, in the caller's words: a connection that broke is UNAVAILABLE, and not an error of the
/// server's own, as which the codes of HTTP/2 would be read.
fn broken(error: BoxError) -> BoxError {
    let status = told(error);
    let status = match status.code() {
        Code::Internal | Code::Unknown => Status::unavailable(format!("the connection broke: {}", status.message())),
        _ => status,
    };
    Box::new(status)
}

/// The status that an error is, with every cause in its words: tonic would say "transport error" and no more.
pub(crate) fn told(error: BoxError) -> Status {
    if error.is::<Status>() {
        return Status::from_error(error);
    }
    let words = causes(&*error);
    let bare = Status::from_error(error);
    let mut status = Status::new(bare.code(), words);
    // That there is a cause says that the status was made here and not by the server.
    status.set_source(Arc::new(bare));
    status
}

/// An error and its causes, outermost first, without what one says after another.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let more = error.to_string();
        if !more.is_empty() && !words.contains(&more) {
            let between = if words.is_empty() { "" } else { ": " };
            words.push_str(between);
            words.push_str(&more);
        }
        next = error.source();
    }
    words
}

/// Whether a failed request has certainly not reached anybody.
fn never_sent(error: &BoxError) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
    while let Some(error) = next {
        let unsent = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_canceled);
        if unsent || error.is::<tonic::ConnectError>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// A random wait, up to one that doubles; one that the server named is at least half kept.
fn wait(tries: u32, named: Option<Duration>) -> Duration {
    let most = named.unwrap_or_else(|| FIRST_WAIT * 2_u32.pow(tries)).min(LONGEST_WAIT);
    most.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_connection_that_broke_is_no_error_of_the_server() {
        let code = |error: BoxError| Status::from_error(super::broken(error)).code();
        assert_eq!(code("a frame makes no sense".into()), Code::Unavailable);
        assert_eq!(code(Box::new(Status::internal("h2 protocol error"))), Code::Unavailable);
        assert_eq!(
            code(Box::new(Status::deadline_exceeded("late"))),
            Code::DeadlineExceeded
        );
    }

    #[test]
    fn an_error_on_the_way_is_told_with_its_causes() {
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "127.0.0.1:1: Connection refused");
        let status = super::told(Box::new(tonic::ConnectError(Box::new(refused))));
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unavailable, "127.0.0.1:1: Connection refused")
        );
        assert!(std::error::Error::source(&status).is_some());
        let told = super::told(Box::new(Status::not_found("of the server")));
        assert_eq!((told.code(), told.message()), (Code::NotFound, "of the server"));
        assert!(std::error::Error::source(&told).is_none());
    }

    use std::sync::atomic::AtomicU32;

    use nexus_api::error::ApiError;

    use super::*;

    const GET: &str = "/nexus.execution.v1.ExecutionService/GetExecution";
    const START: &str = "/nexus.execution.v1.ExecutionService/StartExecution";
    const CANCEL: &str = "/nexus.execution.v1.ExecutionService/CancelExecution";
    const WATCH: &str = "/nexus.execution.v1.ExecutionService/WatchExecution";
    const DELETE: &str = "/nexus.definitions.v1.DefinitionsService/DeleteWorkflow";

    /// Calls once over a service that answers as `answer` says; gives the tries that it took and the last status.
    async fn tries(path: &str, body: &'static [u8], answer: fn(u32) -> Answer) -> (u32, Option<Code>) {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let server = tower::service_fn(move |_: Request<Body>| {
            let answer = answer(counted.fetch_add(1, Ordering::SeqCst));
            async move { answer }
        });
        let request = Request::builder()
            .uri(path)
            .body(Body::new(Full::new(Bytes::from_static(body))));
        let answer = Retry::new(server).oneshot(request.expect("request")).await;
        let code = answer.ok().and_then(|answer| Status::from_header_map(answer.headers()));
        (count.load(Ordering::SeqCst), code.map(|status| status.code()))
    }

    fn told(status: impl Into<Status>) -> Answer {
        Ok(status.into().into_http())
    }

    fn away(_: u32) -> Answer {
        told(Status::unavailable("away"))
    }

    const WITHOUT_ID: &[u8] = &[0, 0, 0, 0, 3, 0x0a, 1, b'a'];
    const WITH_ID: &[u8] = &[0, 0, 0, 0, 6, 0x0a, 1, b'a', 0x2a, 1, b'x'];

    #[tokio::test(start_paused = true)]
    async fn what_may_be_repeated_is_repeated_a_few_times_only() {
        assert_eq!(tries(GET, WITHOUT_ID, away).await, (TRIES, Some(Code::Unavailable)));
        assert_eq!(tries(START, WITHOUT_ID, away).await, (1, Some(Code::Unavailable)));
        assert_eq!(tries(START, WITH_ID, away).await, (TRIES, Some(Code::Unavailable)));
        assert_eq!(tries(CANCEL, WITHOUT_ID, away).await, (TRIES, Some(Code::Unavailable)));
        assert_eq!(tries(DELETE, WITH_ID, away).await, (1, Some(Code::Unavailable)));
        for stream_or_unknown in [WATCH, "/made.up/Thing"] {
            assert_eq!(
                tries(stream_or_unknown, WITH_ID, away).await.0,
                1,
                "{stream_or_unknown}"
            );
        }
        let broke = |_| Err(BoxError::from("the connection broke"));
        assert_eq!(tries(START, WITHOUT_ID, broke).await.0, 1, "it may have arrived");
        let unsent = |_| Err(Box::new(tonic::ConnectError("refused".into())) as BoxError);
        assert_eq!(tries(START, WITHOUT_ID, unsent).await.0, TRIES, "nobody has seen it");
        let moved = |tries| match tries {
            0 => told(ApiError::new(ErrorReason::NotOwner, "another replica owns it")),
            _ => Ok(Response::new(Body::empty())),
        };
        assert_eq!(tries(START, WITHOUT_ID, moved).await, (2, None));
        let full = |_| told(ApiError::new(ErrorReason::Overloaded, "full"));
        assert_eq!(tries(GET, WITHOUT_ID, full).await, (1, Some(Code::ResourceExhausted)));
    }

    #[tokio::test(start_paused = true)]
    async fn repetitions_are_a_fifth_of_the_calls_at_most() {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let server = tower::service_fn(move |_: Request<Body>| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { away(0) }
        });
        let client = Retry::new(server);
        for _ in 0..1_000 {
            let request = Request::builder().uri(GET).body(Body::empty()).expect("request");
            let _refused = client.clone().oneshot(request).await;
        }
        let repeated = count.load(Ordering::SeqCst) - 1_000;
        assert!((150..=211).contains(&repeated), "{repeated}");
    }
}
