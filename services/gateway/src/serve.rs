//! A request over plain HTTP, from its arrival to its answer.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use nexus_api::ErrorReason;
use nexus_api::method::{LoadClass, Permission, method};
use nexus_auth::{Arrival, Caller};
use nexus_mesh::Transport;
use nexus_mesh::front::Http;
use nexus_mesh::gate::Gate as _;
use nexus_mesh::health::Readiness;
use nexus_mesh::trace::{http_span, trace_id};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tracing::Instrument;

use crate::call::{self, Call};
use crate::catalog::{Catalog, CatalogError, Found, Operation};
use crate::once::{self, Once};
use crate::origins::Origins;
use crate::problem::Problem;
use crate::request::{Asked, assemble, named_call};
use crate::template::Bindings;
use crate::{accept, compress, cookie, limits, openapi, pages, respond, stream, verbs, wait};

const SECONDS: &str = "nexus_http_server_duration_seconds";
/// What a wait leaves of its time for the call itself.
const FAREWELL: Duration = Duration::from_millis(1);

/// Describes the metrics.
pub(crate) fn describe() {
    metrics::describe_histogram!(
        SECONDS,
        "Time of a request over plain HTTP until its answer began, by method and status."
    );
    stream::describe();
}

/// How much is served, and to whom.
#[derive(Clone)]
pub struct Options {
    /// From where one may ask.
    pub origins: Origins,
    /// Who may ask for what.
    pub door: nexus_auth::Guard,
    /// Bytes of a body at most.
    pub max_body_bytes: usize,
    /// Streams that are open at a time.
    pub max_streams: usize,
    /// Calls under way at a time, as [`LoadClass`] counts them.
    pub max_in_flight: usize,
    /// The way to whoever remembers calls that have an Idempotency-Key; nobody does without.
    pub calls: Option<Transport>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            origins: Origins::default(),
            door: nexus_auth::Guard::open(),
            max_body_bytes: 16 << 20,
            max_streams: 1_000,
            max_in_flight: 10_000,
            calls: None,
        }
    }
}

/// The way to each service, by what the names of its contracts begin with.
pub type Ways = Vec<(&'static str, Transport)>;

/// Answers requests over plain HTTP.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

struct Inner {
    catalog: Catalog,
    ways: Ways,
    options: Options,
    readiness: Readiness,
    /// The description of what is served, as JSON.
    description: OnceLock<Bytes>,
    streams: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    leaving: CancellationToken,
}

impl Gateway {
    /// Serves the contracts of the services that there are ways to.
    ///
    /// # Errors
    /// When a contract cannot be served.
    pub fn new(ways: Ways, options: Options, readiness: Readiness) -> Result<Self, CatalogError> {
        let mut catalog = Catalog::read(nexus_api::json::pool())?;
        catalog.keep(|operation| way(&ways, operation).is_some());
        Ok(Self {
            inner: Arc::new(Inner {
                description: OnceLock::new(),
                catalog,
                streams: Arc::new(Semaphore::new(options.max_streams.min(Semaphore::MAX_PERMITS))),
                calls: Arc::new(Semaphore::new(options.max_in_flight.min(Semaphore::MAX_PERMITS))),
                leaving: CancellationToken::new(),
                ways,
                options,
                readiness,
            }),
        })
    }

    /// Ends open streams, so that their readers go on elsewhere.
    pub fn leave(&self) {
        self.inner.leaving.cancel();
    }

    /// As a port wants it.
    #[must_use]
    pub fn http(&self) -> Http {
        let (answers, origins) = (Arc::clone(&self.inner), self.inner.options.origins.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let inner = Arc::clone(&answers);
            async move { Ok::<_, Infallible>(inner.answer(request).await) }.boxed()
        });
        Http {
            answers: BoxCloneSyncService::new(compress::answers(service)),
            admit: Arc::new(move |request| {
                let path = request.uri().path();
                origins
                    .admit(request)
                    .map_err(|problem| Box::new(problem.about(path, None).answer()))
            }),
        }
    }
}

fn way<'a>(ways: &'a Ways, operation: &Operation) -> Option<&'a Transport> {
    let found = ways
        .iter()
        .find(|(package, _)| operation.method.full_name().starts_with(package));
    found.map(|(_, way)| way)
}

/// A request of which the body is not read yet.
struct Arrived {
    parts: http::request::Parts,
    body: Body,
}

impl Arrived {
    fn path(&self) -> &str {
        self.parts.uri.path()
    }

    fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }
}

impl Inner {
    /// Answers a request, whatever it is.
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let begun = Instant::now();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let trace = request.headers().clone();
        let admitted = limits::check(&request).and_then(|()| self.options.origins.admit(&request));
        let (mut answer, name) = match admitted {
            Err(problem) => (problem.about(&path, trace_id(&trace)).answer(), "refused"),
            Ok(headers) => {
                let (mut answer, name) = self.admitted(request).await;
                answer.headers_mut().extend(headers);
                (answer, name)
            }
        };
        let headers = answer.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let status = answer.status().as_u16().to_string();
        metrics::histogram!(SECONDS, "method" => name, "status" => status).record(begun.elapsed().as_secs_f64());
        if method == Method::HEAD {
            if let Some(length) = answer.body().size_hint().exact() {
                answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            }
            *answer.body_mut() = Body::empty();
        }
        answer
    }

    /// The answer, and the name under which it is counted.
    async fn admitted(&self, request: Request<Body>) -> (Response<Body>, &'static str) {
        let (verb, path) = (request.method().clone(), request.uri().path().to_owned());
        let headers = request.headers().clone();
        let reads = verb == Method::GET || verb == Method::HEAD;
        let describe = || self.description();
        if let Some(page) = reads.then(|| pages::find(&path, &self.readiness, describe)).flatten() {
            return (page, "page");
        }
        let preflight = Origins::is_preflight(&request);
        let failed = |problem: Problem| problem.about(&path, trace_id(&headers)).answer();
        match self.catalog.find(&verb, &path) {
            Found::Operation(operation, bindings) => {
                let name = method(&operation.rpc_path).map_or("other", |method| method.name);
                let span = http_span(verb.as_str(), operation.template.text(), &headers);
                let (parts, body) = request.into_parts();
                let arrived = Arrived { parts, body };
                let call = self.operate(&operation, bindings, arrived);
                let answered = async { call.await.unwrap_or_else(failed) };
                (answered.instrument(span).await, name)
            }
            Found::Verbs(verbs) => {
                let allow = verbs.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
                (
                    verbs::not_allowed(&verb, &allow, preflight).unwrap_or_else(failed),
                    "other",
                )
            }
            Found::Nothing(near) => {
                let near = near.map(|near| format!("; did you mean {near}?"));
                let near = near.unwrap_or_else(|| "; /openapi.json tells what there is, /docs shows it".to_owned());
                let detail = format!("there is nothing at this path{near}");
                (failed(Problem::plain(StatusCode::NOT_FOUND, detail)), "other")
            }
        }
    }

    /// The description, which is made when somebody asks for it first.
    fn description(&self) -> Bytes {
        let made = self
            .description
            .get_or_init(|| openapi::describe(&self.catalog).to_string().into());
        made.clone()
    }

    async fn operate(
        &self,
        operation: &Operation,
        bindings: Bindings,
        mut arrived: Arrived,
    ) -> Result<Response<Body>, Problem> {
        // Before anything is read of it; the service asks again at its own door.
        let contract =
            method(&operation.rpc_path).ok_or_else(|| Problem::plain(StatusCode::NOT_FOUND, "nobody serves this"))?;
        let by_cookie = cookie::admit(&arrived.parts.method, &arrived.parts.uri, &mut arrived.parts.headers)?;
        let admitted = self.options.door.admit(contract, &mut arrived.parts).await;
        admitted.map_err(|refusal| Problem::of_status(&refusal))?;
        let offers: &[&str] = match operation.streams() {
            true => &stream::FORMS,
            false => &["application/json"],
        };
        let form = accept::choose(&arrived.parts.headers, offers).ok_or_else(|| {
            let detail = format!("this gives {} and nothing else", offers.join(" or "));
            Problem::plain(StatusCode::NOT_ACCEPTABLE, detail)
        })?;
        let _place = self.place(operation)?;
        let way =
            way(&self.ways, operation).ok_or_else(|| Problem::plain(StatusCode::NOT_FOUND, "nobody serves this"))?;
        let metadata = call::metadata(&arrived.parts.headers)
            .map_err(|(header, problem)| Problem::field(header.as_str(), problem))?;
        let (path, query) = (arrived.path().to_owned(), arrived.query().to_owned());
        let headers = &arrived.parts.headers;
        let most = match contract.permission {
            Permission::Public => limits::OF_ANYBODY.min(self.options.max_body_bytes),
            _ => self.options.max_body_bytes,
        };
        let body = limits::body(headers, arrived.body, most).await?;
        let asked = assemble(operation, bindings, &query, headers, &body)?;
        let named = named_call(operation, headers)?;
        let call = Call {
            way: way.clone(),
            path: operation.rpc_path.clone(),
            metadata,
            caller: arrived.parts.extensions.get::<Caller>().cloned(),
            arrival: arrived.parts.extensions.get::<Arrival>().cloned(),
        };
        if operation.streams() {
            return self.stream(operation, call, &asked, form, path).await;
        }
        // A login that cannot be answered as asked does not begin.
        cookie::wanted(headers)?;
        let mut answer = match named {
            None => call.unary(&asked.message, operation.method.output()).await,
            Some(name) => {
                let request = [path.as_bytes(), query.as_bytes(), &once::conditions(headers), &body];
                let once = Once::new(self.options.calls.clone(), &call, &name, &request)?;
                once.run(call.clone(), asked.message, operation.method.output()).await
            }
        }
        .map_err(|status| Problem::of_status(&status))?;
        let cookies = cookie::of_answer(operation, headers, by_cookie, &mut answer)?;
        match wait::begun(operation, &answer, asked.wait.unwrap_or(FAREWELL)) {
            None => {
                let mut answer = respond::unary(operation, &answer, &path, &query, headers);
                for cookie in cookies {
                    answer.headers_mut().append(header::SET_COOKIE, cookie);
                }
                Ok(answer)
            }
            Some(begun) => {
                let (answer, done) = ended(&call, operation, answer, &begun, asked.wait.is_some()).await;
                let mut answer = respond::unary(operation, &answer, &path, &query, headers);
                if let Ok(place) = HeaderValue::from_str(&begun.place) {
                    answer.headers_mut().insert(header::LOCATION, place);
                }
                if !done {
                    *answer.status_mut() = StatusCode::ACCEPTED;
                }
                Ok(answer)
            }
        }
    }

    async fn stream(
        &self,
        operation: &Operation,
        call: Call,
        asked: &Asked,
        form: &'static str,
        path: String,
    ) -> Result<Response<Body>, Problem> {
        let place = Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            let detail = format!(
                "{} streams are open already, gateway.max_streams",
                self.options.max_streams
            );
            overloaded(detail)
        })?;
        let stream = call
            .streaming(&asked.message)
            .await
            .map_err(|status| Problem::of_status(&status))?;
        let shown = stream::Shown {
            form,
            message: operation.method.output(),
            field: operation.shown.clone(),
            path,
        };
        Ok(stream::answer(stream, shown, place, self.leaving.clone()))
    }

    /// A place among the calls under way; none is needed for those that only wait, or must not be lost.
    fn place(&self, operation: &Operation) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        let class = method(&operation.rpc_path).map_or(LoadClass::Interactive, |method| method.load_class);
        if matches!(class, LoadClass::Critical | LoadClass::Waiting) {
            return Ok(None);
        }
        let place = Arc::clone(&self.calls).try_acquire_owned();
        place.map(Some).map_err(|_| {
            let detail = format!(
                "{} calls are under way already, limits.max_in_flight",
                self.options.max_in_flight
            );
            overloaded(detail)
        })
    }
}

/// Waits for the end of what a call has begun, as long as its caller wants. When that cannot be heard of, the caller hears
/// what was begun: it is.
async fn ended(
    call: &Call,
    operation: &Operation,
    answer: prost_reflect::DynamicMessage,
    begun: &wait::Begun,
    waits: bool,
) -> (prost_reflect::DynamicMessage, bool) {
    let mut methods = operation.method.parent_service().methods();
    let method = methods.find(|method| begun.wait.0.ends_with(method.name()));
    let (Some(method), true) = (method, waits) else {
        return (answer, false);
    };
    let call = Call {
        path: begun.wait.0.clone(),
        ..call.clone()
    };
    let Ok(waited) = call.unary(&begun.wait.1, method.output()).await else {
        return (answer, false);
    };
    let done = wait::is_done(&waited);
    let mut answer = answer;
    if let Some(now) = waited.get_field_by_name(begun.field) {
        // Both are the same message, or what was begun stays as it was.
        drop(answer.try_set_field_by_name(begun.field, now.into_owned()));
    }
    (answer, done)
}

fn overloaded(detail: String) -> Problem {
    let mut problem = Problem::of(StatusCode::TOO_MANY_REQUESTS, ErrorReason::Overloaded, detail);
    problem.retry_after(Duration::from_secs(1));
    problem
}
