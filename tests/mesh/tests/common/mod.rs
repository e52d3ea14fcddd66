//! What the tests of a mesh do through its services: apply a workflow, run one.

use nexus_api::definitions::v1::ApplyWorkflowRequest;
use nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::execution::v1::{Execution, StartExecutionRequest, WaitExecutionRequest};
use nexus_fleet::Mesh;
use nexus_mesh::Transport;
use nexus_mesh::transport::{ClientOptions, connect_balanced};

/// A way to one or several replicas.
pub fn connect(addresses: &str) -> Transport {
    connect_balanced(addresses, &ClientOptions::default()).expect("addresses")
}

/// Applies a workflow file.
#[allow(dead_code, reason = "not every test has one way only")]
pub async fn apply(mesh: &Mesh, file: &str) {
    apply_by(connect(&mesh.definitions()), file).await;
}

/// The same over some way.
pub async fn apply_by(way: Transport, file: &str) {
    let apply = ApplyWorkflowRequest {
        source: file.to_owned(),
        ..ApplyWorkflowRequest::default()
    };
    let mut definitions = DefinitionsServiceClient::new(way);
    definitions.apply_workflow(apply).await.expect("apply");
}

/// Runs a workflow to its end, without an idempotency key.
#[allow(dead_code, reason = "not every test runs over gRPC")]
pub async fn run(way: &Transport, workflow: &str) -> Execution {
    let mut executions = ExecutionServiceClient::new(way.clone());
    let start = StartExecutionRequest {
        workflow: workflow.to_owned(),
        ..StartExecutionRequest::default()
    };
    let started = executions.start_execution(start).await.expect("start").into_inner();
    let wait = WaitExecutionRequest {
        execution: started.execution.expect("execution").id,
        ..WaitExecutionRequest::default()
    };
    let ended = executions.wait_execution(wait).await.expect("wait").into_inner();
    ended.execution.expect("execution")
}
