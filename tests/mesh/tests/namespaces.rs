//! Namespaces in a mesh: each worker process runs the tasks of its own, whichever replica begins them, and no replica shows one
//! what is another's.

mod common;

use common::{apply_by, connect, run};
use nexus_api::execution::v1::GetExecutionRequest;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_fleet::{Mesh, Role, Shape};
use nexus_mesh::Transport;
use nexus_mesh::transport::in_namespace;

/// A chain, so that tasks go out over Redis, to waiting workers, and with acknowledgements.
const FILE: &str = "name: told\ntasks:\n  a: {bash: {run: 'echo n=$NEXUS_NAMESPACE >> $NEXUS_OUTPUT'}}\n  b: {needs: [a], \
                    bash: {run: 'echo n=$NEXUS_NAMESPACE >> $NEXUS_OUTPUT'}}\n\
                    output: '{{ tasks.a.output.n }} {{ tasks.b.output.n }} {{ execution.namespace }}'\n";
const NAMESPACES: [&str; 2] = ["team-a", "team-b"];
const STARTS: usize = 10;

fn within(address: &str, namespace: &str) -> Transport {
    in_namespace(connect(address), &namespace.parse().expect("a namespace"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_worker_runs_what_is_its_namespaces_wherever_it_begins() {
    let shape = Shape {
        definitions: 1,
        workers: 2,
        ..Shape::default()
    };
    let mut mesh = Mesh::prepare(shape).await.expect("mesh");
    for (number, namespace) in NAMESPACES.iter().enumerate() {
        mesh.node(Role::Worker, number).set("NEXUS_NAMESPACE", namespace);
    }
    for node in mesh.nodes() {
        node.start("").expect("start");
    }
    mesh.ready().await.expect("ready");
    let replicas = [0, 1].map(|replica| mesh.node(Role::Execution, replica).address());
    for namespace in NAMESPACES {
        apply_by(within(&mesh.definitions(), namespace), FILE).await;
    }
    for round in 0..STARTS {
        for (own, namespace) in NAMESPACES.iter().enumerate() {
            let ended = run(&within(&replicas[round % 2], namespace), "told").await;
            assert_eq!(
                ended.output,
                format!("\"{namespace} {namespace} {namespace}\""),
                "{ended:?}"
            );
            for replica in &replicas {
                let mut others = ExecutionServiceClient::new(within(replica, NAMESPACES[1 - own]));
                let asked = GetExecutionRequest {
                    execution: ended.id.clone(),
                    ..GetExecutionRequest::default()
                };
                let refused = others.get_execution(asked).await.expect_err("another's");
                assert_eq!(refused.code(), tonic::Code::NotFound);
            }
        }
    }
    mesh.stop().await.expect("stop");
}
