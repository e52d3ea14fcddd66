//! One trace goes from a caller over gRPC to a server and on through a second call, as a collector sees it.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Client, Server, beat, eventually};
use nexus_api::worker::v1 as api;
use nexus_mesh::server::ServerOptions;
use nexus_mesh::transport::{ClientOptions, connect_balanced};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::{Request, Response, Status};
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans = request.into_inner().resource_spans.into_iter();
        let spans = spans
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans);
        self.0.lock().expect("spans").extend(spans);
        Ok(Response::new(Default::default()))
    }
}

/// Answers a poll by calling the next server, with what is left of the call's time.
struct Middle {
    next: Client,
    left: Arc<Mutex<Option<Duration>>>,
}

#[tonic::async_trait]
impl api::worker_service_server::WorkerService for Middle {
    type StreamTasksStream = tokio_stream::Empty<Result<api::StreamTasksResponse, Status>>;

    async fn poll_tasks(&self, _: Request<api::PollTasksRequest>) -> Result<Response<api::PollTasksResponse>, Status> {
        *self.left.lock().expect("left") = nexus_mesh::deadline::remaining();
        beat(&self.next).await?;
        Ok(Response::new(Default::default()))
    }

    async fn register_worker(
        &self,
        _: Request<api::RegisterWorkerRequest>,
    ) -> Result<Response<api::RegisterWorkerResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn stream_tasks(
        &self,
        _: Request<tonic::Streaming<api::StreamTasksRequest>>,
    ) -> Result<Response<Self::StreamTasksStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn report_tasks(
        &self,
        _: Request<api::ReportTasksRequest>,
    ) -> Result<Response<api::ReportTasksResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn heartbeat_tasks(
        &self,
        _: Request<api::HeartbeatTasksRequest>,
    ) -> Result<Response<api::HeartbeatTasksResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn append_task_logs(
        &self,
        _: Request<api::AppendTaskLogsRequest>,
    ) -> Result<Response<api::AppendTaskLogsResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn resolve_task_secrets(
        &self,
        _: Request<api::ResolveTaskSecretsRequest>,
    ) -> Result<Response<api::ResolveTaskSecretsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn deregister_worker(
        &self,
        _: Request<api::DeregisterWorkerRequest>,
    ) -> Result<Response<api::DeregisterWorkerResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}

async fn collector() -> (Collector, String) {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = format!("http://{}", listener.local_addr().expect("address"));
    let service = TraceServiceServer::new(collector.clone());
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)),
    );
    (collector, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_goes_from_the_caller_through_two_servers_and_the_deadline_with_it() {
    let (collector, endpoint) = collector().await;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build();
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder()
        .with_batch_exporter(exporter.expect("exporter"))
        .build();
    opentelemetry::global::set_text_map_propagator(opentelemetry_sdk::propagation::TraceContextPropagator::new());
    tracing_subscriber::registry()
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")))
        .with(tracing_subscriber::filter::LevelFilter::INFO)
        .init();

    let connect = |server: &Server| {
        let address = format!("http://{}", server.address);
        Client::new(connect_balanced(&address, &ClientOptions::default()).expect("way"))
    };
    let last = Server::start(ServerOptions::default()).await;
    let left = Arc::default();
    let middle = Middle {
        next: connect(&last),
        left: Arc::clone(&left),
    };
    let any = "127.0.0.1:0".parse().expect("address");
    let first = Server::with(any, ServerOptions::default(), |routes, _| {
        routes.add_service(api::worker_service_server::WorkerServiceServer::new(middle));
    })
    .await;
    let client = connect(&first);
    let call = async {
        let mut request = Request::new(api::PollTasksRequest::default());
        request.set_timeout(Duration::from_secs(5));
        client.clone().poll_tasks(request).await.expect("answer");
    };
    call.instrument(tracing::info_span!("caller")).await;

    let left = left.lock().expect("left").expect("a deadline");
    assert!(
        left <= Duration::from_secs(5) && left > Duration::from_secs(3),
        "{left:?}"
    );
    let named = |name: &str| {
        let spans = collector.0.lock().expect("spans");
        spans.iter().find(|span| span.name.ends_with(name)).cloned()
    };
    eventually("three spans at the collector", async || {
        let provider = provider.clone();
        let flushed = tokio::task::spawn_blocking(move || provider.force_flush())
            .await
            .expect("flush");
        flushed.is_ok()
            && ["caller", "/PollTasks", "/HeartbeatTasks"]
                .iter()
                .all(|name| named(name).is_some())
    })
    .await;
    let [caller, poll, beat] = ["caller", "/PollTasks", "/HeartbeatTasks"].map(|name| named(name).expect("span"));
    assert!(poll.trace_id == caller.trace_id && beat.trace_id == caller.trace_id);
    assert_eq!(poll.parent_span_id, caller.span_id);
    assert_eq!(beat.parent_span_id, poll.span_id);
}
