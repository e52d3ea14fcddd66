//! `nexus dev` itself: its folder of workflows, its lock, its port, health and reflection.

use std::process::{Command, Stdio};

use nexus_api::definitions::v1::GetWorkflowRequest;
use nexus_api::execution::v1::ListExecutionsRequest;
use nexus_tests::{Dev, DevOptions, binary, eventually};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

#[tokio::test]
async fn the_sample_runs_and_is_shown() {
    let mut dev = Dev::start_with(DevOptions::default());
    let line = dev.wait_for_line("succeeded");
    assert!(line.contains("hello"), "{line}");
}

#[tokio::test]
async fn workflow_files_are_loaded_and_loaded_again_when_saved() {
    let folder = tempfile::tempdir().expect("folder");
    let workflows = folder.path().join("workflows");
    std::fs::create_dir(&workflows).expect("folder");
    let write = |name: &str, text: &str| std::fs::write(workflows.join(name), text).expect("write");
    write("one.yaml", "name: one\ntasks: {a: {noop: {}}}\n");
    write("broken.yaml", "name: broken\ntasks: {a: {nop: {}}}\n");
    let options = DevOptions {
        args: vec!["--no-sample".into()],
        folder: Some(folder),
        ..DevOptions::default()
    };
    let mut dev = Dev::start_with(options);
    dev.wait_for_line("1 workflow loaded");
    let complaint = dev.wait_for_line("broken.yaml:");
    assert!(complaint.contains("nop"), "{complaint}");
    std::fs::write(
        dev.folder().join("workflows/one.yaml"),
        "name: one\ntasks: {a: {noop: {}}, b: {noop: {}}}\n",
    )
    .expect("write");
    dev.wait_for_line("one updated: revision 2");
    std::fs::write(
        dev.folder().join("workflows/two.json"),
        r#"{"name":"two","tasks":{"a":{"noop":{}}}}"#,
    )
    .expect("write");
    dev.wait_for_line("two created");
    let get = GetWorkflowRequest { workflow: "one".into() };
    let workflow = dev
        .definitions()
        .get_workflow(get)
        .await
        .expect("get")
        .into_inner()
        .workflow
        .expect("workflow");
    assert_eq!(workflow.task_count, 2);
}

#[tokio::test]
async fn a_folder_that_comes_later_is_found() {
    let mut dev = Dev::start();
    let workflows = dev.folder().join("workflows");
    std::fs::create_dir(&workflows).expect("folder");
    dev.wait_for_line("watching for changes");
    std::fs::write(workflows.join("late.yaml"), "name: late\ntasks: {a: {noop: {}}}\n").expect("write");
    dev.wait_for_line("late created");
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused() {
    let dev = Dev::start();
    let output = Command::new(binary())
        .args(["dev", "--listen", "127.0.0.1:0", "--no-sample"])
        .current_dir(dev.folder())
        .stdin(Stdio::null())
        .output()
        .expect("run");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && text.contains("another nexus process uses"),
        "{text}"
    );
}

#[tokio::test]
async fn only_this_machine_may_reach_it() {
    let folder = tempfile::tempdir().expect("folder");
    let output = Command::new(binary())
        .args(["dev", "--listen", "0.0.0.0:0", "--no-sample"])
        .current_dir(folder.path())
        .output()
        .expect("run");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("loopback"), "{text}");
}

#[tokio::test]
async fn health_and_reflection_answer() {
    let dev = Dev::start();
    let transport = nexus_mesh::transport::connect(dev.address()).expect("address");
    let mut health = HealthClient::new(transport.clone());
    for service in [
        "",
        "nexus.execution.v1.ExecutionService",
        "nexus.feed.v1.FeedService",
        "nexus.definitions.v1.DefinitionsService",
    ] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let answer = health.check(request).await.expect("health").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let answer = reflected(transport, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for service in [
        "nexus.worker.v1.WorkerService",
        "nexus.execution.v1.ExecutionService",
        "grpc.health.v1.Health",
    ] {
        assert!(
            names.iter().any(|name| name == service),
            "{service} is missing in {names:?}"
        );
    }
}

/// Clients in other languages have no table made by our build: they read the descriptors.
#[tokio::test]
async fn reflection_tells_what_methods_say_about_themselves() {
    /// Field 50100, a message, on the wire.
    const METHOD_OPTION: &[u8] = &[0xa2, 0xbb, 0x18];
    let dev = Dev::start();
    let transport = nexus_mesh::transport::connect(dev.address()).expect("address");
    let asked = MessageRequest::FileContainingSymbol("nexus.worker.v1.WorkerService".into());
    let answer = reflected(transport, asked).await;
    let MessageResponse::FileDescriptorResponse(files) = answer else {
        panic!("{answer:?}")
    };
    let options = files.file_descriptor_proto.iter().flat_map(|file| {
        let places = file.windows(METHOD_OPTION.len());
        places.filter(|bytes| *bytes == METHOD_OPTION)
    });
    let methods = nexus_api::method::METHODS
        .iter()
        .filter(|method| method.service == "nexus.worker.v1.WorkerService");
    assert_eq!(options.count(), methods.count());
}

/// What reflection answers.
async fn reflected(transport: nexus_mesh::Transport, asked: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(asked),
    };
    let mut reflection = ServerReflectionClient::new(transport);
    let answer = reflection.server_reflection_info(tokio_stream::once(request)).await;
    let message = answer.expect("reflection").into_inner().message().await;
    let answer = message.expect("message").expect("answer");
    answer.message_response.expect("response")
}

#[tokio::test]
async fn a_stop_is_clean_and_leaves_no_lock() {
    let mut dev = Dev::start();
    assert!(dev.stop().success());
    dev.wait_for_line("stopped");
    let dev = dev.kill_and_restart(DevOptions {
        args: vec!["--no-sample".into()],
        ..DevOptions::default()
    });
    let mut executions = dev.executions();
    eventually("it answers", async || {
        executions
            .list_executions(ListExecutionsRequest::default())
            .await
            .is_ok()
    })
    .await;
}
