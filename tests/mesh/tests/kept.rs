//! An output that one replica kept is used by another: replicas keep them in Redis.

use nexus_api::definitions::v1::ApplyWorkflowRequest;
use nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_api::execution::v1::{Execution, StartExecutionRequest, WaitExecutionRequest};
use nexus_fleet::{Mesh, Role, Shape};
use nexus_mesh::Transport;
use nexus_mesh::transport::{ClientOptions, connect_balanced};

const FILE: &str = "
name: kept
tasks:
  a: {cache: {ttl: 1h}, bash: {run: 'echo word=$RANDOM-$$ >> $NEXUS_OUTPUT'}}
output: '{{ tasks.a.output.word }}'
";

/// Runs the workflow at one replica.
async fn run(way: Transport) -> Execution {
    let mut executions = ExecutionServiceClient::new(way);
    let start = StartExecutionRequest {
        workflow: "kept".to_owned(),
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

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_what_is_kept_and_do_without_it() {
    let shape = Shape {
        definitions: 1,
        workers: 1,
        ..Shape::default()
    };
    let mut mesh = Mesh::start(shape).await.expect("mesh");
    let connect = |addresses: &str| connect_balanced(addresses, &ClientOptions::default()).expect("addresses");
    let apply = ApplyWorkflowRequest {
        source: FILE.to_owned(),
        ..ApplyWorkflowRequest::default()
    };
    let mut definitions = DefinitionsServiceClient::new(connect(&mesh.definitions()));
    definitions.apply_workflow(apply).await.expect("apply");
    let replicas: Vec<String> = (0..2)
        .map(|number| mesh.node(Role::Execution, number).address())
        .collect();
    let first = run(connect(&replicas[0])).await;
    assert_eq!(first.task_counts["SUCCEEDED"], 1, "{first:?}");
    // It is kept after the answer, in a moment.
    let mut second = run(connect(&replicas[1])).await;
    for _ in 0..50 {
        if second.task_counts.contains_key("CACHED") {
            break;
        }
        second = run(connect(&replicas[1])).await;
    }
    assert_eq!(second.task_counts["CACHED"], 1, "{second:?}");
    mesh.redis().kill();
    let without = run(connect(&replicas[0])).await;
    assert_eq!(without.task_counts["SUCCEEDED"], 1, "{without:?}");
    mesh.stop().await.expect("stop");
}
