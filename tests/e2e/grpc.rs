//! Workflows that call gRPC services: NEXUS itself is one, described by its own reflection.

use nexus_api::execution::v1::{execution, task};
use nexus_tests::{Dev, DevOptions};
use serde_json::{Value, json};

const INNER: &str = r#"
name: inner
params: {type: object, required: [n], properties: {n: {type: integer}}}
tasks:
  double: {noop: {output: "{{ params.n * 2 }}"}}
output: {doubled: "{{ tasks.double.output }}"}
"#;

const OUTER: &str = r#"
name: outer
params: {type: object, required: [nexus, n], properties: {nexus: {type: string}, n: {type: integer}}}
tasks:
  start:
    grpc:
      target: "{{ params.nexus }}"
      method: nexus.execution.v1.ExecutionService/StartExecution
      message: {workflow: inner, params: "{\"n\": {{ params.n }}}", requestId: "{{ execution.id }}"}
      metadata: {authorization: "Bearer {{ secrets.token }}"}
      deadline: 20s
  wait:
    grpc:
      target: "{{ params.nexus }}"
      method: nexus.execution.v1.ExecutionService/WaitExecution
      message: {execution: "{{ tasks.start.output.execution.id }}", timeout: 20s}
      idempotent: true
  watch:
    needs: [wait]
    grpc:
      target: "{{ params.nexus }}"
      method: nexus.execution.v1.ExecutionService/WatchExecution
      message: {execution: "{{ tasks.start.output.execution.id }}"}
  unknown:
    retry: {max_attempts: 3, initial_interval: 10ms}
    continue_on_error: true
    grpc:
      target: "{{ params.nexus }}"
      method: nexus.execution.v1.ExecutionService/StartExecution
      message: {workflow: nobody}
output:
  inner: "{{ tasks.wait.output.execution.output }}"
  done: "{{ tasks.wait.output.done }}"
  events: "{{ tasks.watch.output.messages | length }}"
  refused: "{{ tasks.unknown.error.type }}"
"#;

#[tokio::test]
async fn a_workflow_starts_another_one_over_the_servers_own_api() {
    let secret = "t0ken-0f-the-example";
    let dev = Dev::start_with(DevOptions {
        args: vec!["--no-sample".into()],
        env: vec![("NEXUS_SECRET_TOKEN".into(), secret.into())],
        folder: None,
    });
    dev.apply(INNER).await.expect("apply");
    let params = json!({"nexus": dev.address(), "n": 21}).to_string();
    let execution = dev.run(OUTER, &params).await;
    assert_eq!(execution.state(), execution::State::Succeeded, "{execution:?}");
    let output: Value = serde_json::from_str(&execution.output).expect("output");
    assert_eq!(output["inner"], r#"{"doubled":42}"#);
    assert_eq!(
        (&output["done"], &output["refused"]),
        (&json!(true), &json!("Grpc.NOT_FOUND"))
    );
    assert!(output["events"].as_u64().is_some_and(|events| events > 0), "{output}");
    // What the server said is there for people and programs, and was not asked for again.
    let unknown = dev.task(&execution.id, "unknown").await;
    assert_eq!((unknown.state(), unknown.attempts), (task::State::Failed, 1));
    let details: Value = serde_json::from_str(&unknown.error.expect("error").details).expect("details");
    assert_eq!(details["error_info"]["reason"], "WORKFLOW_NOT_FOUND", "{details}");
    // The same start again is the same execution: its request id is this execution's, its key this task's.
    let again = dev.run(OUTER, &params).await;
    assert_ne!(again.output, "", "{again:?}");
    let stored = format!("{:?}", dev.tasks(&execution.id).await);
    assert!(!stored.contains(secret));
}

#[tokio::test]
async fn a_server_that_is_away_is_called_again_until_it_is_back() {
    let dev = Dev::start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let address = free.local_addr().expect("address");
    drop(free);
    let source = format!(
        "name: away\ntasks:\n  call:\n    retry: {{max_attempts: 100, initial_interval: 100ms, backoff_coefficient: 1}}\n    \
         grpc: {{target: 'http://{address}', method: grpc.health.v1.Health/Check}}\n"
    );
    let execution = dev.launch(&source, "").await;
    nexus_tests::eventually("it has failed twice", async || {
        dev.task(&execution, "call").await.attempts >= 2
    })
    .await;
    let (_reporter, health) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("reflection");
    let server = tonic::transport::Server::builder()
        .add_service(health)
        .add_service(reflection)
        .serve(address);
    let server = tokio::spawn(server);
    let ended = dev.wait(&execution).await;
    assert_eq!(ended.state(), execution::State::Succeeded, "{ended:?}");
    let call = dev.task(&execution, "call").await;
    let output: Value = serde_json::from_str(&call.output).expect("output");
    assert_eq!(output, json!({"status": "SERVING"}));
    server.abort();
}
