//! One trace goes from a caller to a replica, by Postgres and Redis to a worker, and into the task, as a collector and
//! the task itself see it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexus_api::definitions::v1::ApplyWorkflowRequest;
use nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::execution::v1::{StartExecutionRequest, WaitExecutionRequest};
use nexus_fleet::{Mesh, Shape};
use nexus_mesh::transport::{ClientOptions, connect_balanced};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use tonic::{Request, Response, Status};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const FILE: &str = "
name: traced
tasks:
  a: {bash: {run: 'echo trace=$TRACEPARENT >> $NEXUS_OUTPUT'}}
  b: {needs: [a], noop: {}}
output: '{{ tasks.a.output.trace }}'
";

/// Names of processes by the traces that they sent spans of.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<HashSet<(String, String)>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for sent in request.into_inner().resource_spans {
            let attributes = sent.resource.map(|resource| resource.attributes).unwrap_or_default();
            let name = attributes.iter().find(|attribute| attribute.key == "service.name");
            let name = format!("{:?}", name.and_then(|name| name.value.clone()));
            for span in sent.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let trace: String = span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
                self.0.lock().expect("spans").insert((trace, name.clone()));
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Whether a process has sent a span of the trace.
    fn has(&self, process: &str) -> bool {
        let seen = self.0.lock().expect("spans");
        seen.iter()
            .any(|(trace, name)| trace == TRACE && name.contains(process))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_from_the_caller_into_the_task() {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = format!("http://{}", listener.local_addr().expect("address"));
    let service = TraceServiceServer::new(collector.clone());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming),
    );
    let shape = Shape {
        definitions: 1,
        workers: 1,
        environment: vec![
            ("NEXUS_OTLP__ENDPOINT".into(), address),
            ("OTEL_BSP_SCHEDULE_DELAY".into(), "200".into()),
        ],
        ..Shape::default()
    };
    let mut mesh = Mesh::start(shape).await.expect("mesh");
    let connect = |addresses: String| connect_balanced(&addresses, &ClientOptions::default()).expect("addresses");
    let apply = ApplyWorkflowRequest {
        source: FILE.to_owned(),
        ..ApplyWorkflowRequest::default()
    };
    let mut definitions = DefinitionsServiceClient::new(connect(mesh.definitions()));
    definitions.apply_workflow(apply).await.expect("apply");
    let mut executions = ExecutionServiceClient::new(connect(mesh.execution()));
    let mut start = Request::new(StartExecutionRequest {
        workflow: "traced".to_owned(),
        ..StartExecutionRequest::default()
    });
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    start
        .metadata_mut()
        .insert("traceparent", parent.parse().expect("header"));
    let started = executions.start_execution(start).await.expect("start").into_inner();
    let wait = WaitExecutionRequest {
        execution: started.execution.expect("execution").id,
        ..WaitExecutionRequest::default()
    };
    let ended = executions.wait_execution(wait).await.expect("wait").into_inner();
    let output = ended.execution.expect("execution").output;
    assert!(output.contains(TRACE), "the task saw {output}");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !["nexus-execution", "nexus-worker"]
        .iter()
        .all(|process| collector.has(process))
    {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the collector has {:?}",
            collector.0.lock().expect("spans")
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    mesh.stop().await.expect("end");
}
