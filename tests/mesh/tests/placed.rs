//! Executions that may begin anywhere begin where a worker waits.

mod common;

use common::{apply, connect, run};
use nexus_fleet::{Mesh, Role, Shape};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const FILE: &str = "name: one\ntasks: {a: {bash: {run: 'true'}}}\n";
/// Starts at each replica.
const STARTS: u32 = 25;
/// Those that may begin elsewhere: the first, and what came while the worker was not seen to wait.
const ASTRAY: u32 = 5;

/// How many executions have begun at a replica.
async fn begun(mesh: &mut Mesh, replica: usize) -> u32 {
    let page = mesh.node(Role::Execution, replica).metrics();
    let address = page.trim_start_matches("http://").trim_end_matches("/metrics");
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("metrics");
    let ask = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(ask).await.expect("ask");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answer");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("nexus_executions_started_total "));
    line.map_or(0, |number| number.trim().parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_begin_where_a_worker_waits() {
    let shape = Shape {
        definitions: 1,
        workers: 1,
        ..Shape::default()
    };
    let mut mesh = Mesh::start(shape).await.expect("mesh");
    apply(&mesh, FILE).await;
    for replica in 0..2 {
        let way = connect(&mesh.node(Role::Execution, replica).address());
        for _ in 0..STARTS {
            run(&way, "one").await;
        }
    }
    let begun = [begun(&mut mesh, 0).await, begun(&mut mesh, 1).await];
    assert_eq!(begun[0] + begun[1], 2 * STARTS, "{begun:?}");
    assert!(
        begun[0].min(begun[1]) <= ASTRAY,
        "the one worker is at one of them: {begun:?}"
    );
    mesh.stop().await.expect("stop");
}
