//! A mesh starts, loses a node, gets it back on the same port, and ends in order.

use std::process::Command;
use std::time::Duration;

use nexus_fleet::{Direction, Link, Mesh, Role, Shape};

/// Runs a workflow through the command line; whether it succeeded.
async fn run(mesh: &Mesh) -> bool {
    let file = mesh.folder().join("hello.yaml");
    std::fs::write(&file, "name: hello\ntasks: {a: {bash: {run: 'true'}}}\n").expect("file");
    let own = std::env::current_exe().expect("own path");
    let program = own.ancestors().nth(2).expect("profile").join("nexus");
    let mut command = Command::new(program);
    command
        .args(["run", "-f"])
        .arg(&file)
        .arg("--wait")
        .env("NEXUS_ADDRESS", mesh.execution())
        .env("NEXUS_DEFINITIONS_ADDRESS", mesh.definitions());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("task");
    output.expect("nexus run").status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_works_loses_a_node_gets_it_back_and_ends_in_order() {
    let shape = Shape {
        workers: 2,
        proxied: true,
        environment: vec![("NEXUS_DRAIN__NOTICE".into(), "100ms".into())],
        ..Shape::default()
    };
    let mut mesh = Mesh::start(shape).await.expect("mesh");
    assert!(run(&mesh).await);
    let address = mesh.node(Role::Execution, 0).address();
    mesh.node(Role::Execution, 0).kill().expect("kill");
    assert!(!mesh.node(Role::Execution, 0).is_ready().await);
    assert!(mesh.node(Role::Execution, 0).kill().is_err(), "dead already");
    mesh.node(Role::Execution, 0).start("").expect("start");
    mesh.node(Role::Execution, 0).ready().await.expect("ready");
    assert_eq!(mesh.node(Role::Execution, 0).address(), address);
    assert!(run(&mesh).await);
    for direction in [Direction::Forward, Direction::Back, Direction::Both] {
        mesh.proxy(Link::Database(1)).cut(direction);
        tokio::time::sleep(Duration::from_secs(3)).await;
        mesh.proxy(Link::Database(1)).heal();
    }
    assert!(mesh.proxy(Link::Database(1)).held() > 0, "nothing was held back");
    let opened = mesh.proxy(Link::Redis(1)).opened();
    mesh.proxy(Link::Redis(1)).reset();
    assert!(run(&mesh).await);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while opened == 0 || mesh.proxy(Link::Redis(1)).opened() == opened {
        assert!(std::time::Instant::now() < deadline, "the connection is not made anew");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let stopped = mesh.node(Role::Worker, 1).stop().await.expect("stop");
    assert_eq!(stopped.code, Some(0));
    mesh.stop().await.expect("end");
    assert!(mesh.nodes().all(|node| node.pid().is_none()));
}
