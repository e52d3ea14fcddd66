//! Gateways of a mesh: any of them answers, one that is killed is no loss to a reader that comes again at another, and one
//! address is enough for gRPC too.

mod common;

use std::time::Duration;

use common::{apply_by, connect};
use nexus_fleet::{Mesh, Role, Shape};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const FILE: &str = "name: chain\ntasks:\n  a: {bash: {run: 'sleep 3'}}\n  b: {needs: [a], bash: {run: 'true'}}\n";

/// Asks in HTTP/1.0, whose answers end with their connection; gives the socket, with the answer to come.
async fn ask(address: &str, verb: &str, path: &str, headers: &str, body: &str) -> TcpStream {
    let authority = address.trim_start_matches("http://");
    let mut socket = TcpStream::connect(authority).await.expect("connected");
    let length = body.len();
    let head =
        format!("{verb} {path} HTTP/1.0\r\nhost: {authority}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    socket.write_all(head.as_bytes()).await.expect("sent");
    socket
}

async fn whole(mut socket: TcpStream) -> String {
    let mut text = String::new();
    let read = socket.read_to_string(&mut text);
    timeout(Duration::from_secs(60), read)
        .await
        .expect("in time")
        .expect("an answer");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_on_at_another_gateway_and_one_address_is_enough() {
    let shape = Shape {
        definitions: 1,
        workers: 1,
        ..Shape::default()
    };
    let mut mesh = Mesh::prepare(shape).await.expect("mesh");
    for _ in 0..2 {
        mesh.add(Role::Gateway).await.expect("a gateway");
    }
    for node in mesh.nodes() {
        node.start("").expect("start");
    }
    mesh.ready().await.expect("ready");
    let gateways = [0, 1].map(|number| mesh.node(Role::Gateway, number).address());

    // gRPC over the gateway's address, which goes on to the definitions.
    apply_by(connect(&gateways[0]), FILE).await;
    let json = "content-type: application/json\r\n";
    let begun = whole(ask(&gateways[1], "POST", "/api/v1/workflows/chain/trigger", json, "{}").await).await;
    assert!(begun.starts_with("HTTP/1.0 202"), "{begun}");
    let place = begun
        .lines()
        .find_map(|line| line.strip_prefix("location: "))
        .expect("where to look")
        .to_owned();

    let watch = format!("{place}/watch");
    let mut stream = ask(&gateways[0], "GET", &watch, "", "").await;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("id: 3\n") {
        let mut piece = [0; 4096];
        let read = timeout(Duration::from_secs(30), stream.read(&mut piece))
            .await
            .expect("in time")
            .expect("a piece");
        assert!(read > 0, "it ended early: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..read]);
    }
    mesh.node(Role::Gateway, 0).kill().expect("killed");

    let rest = whole(ask(&gateways[1], "GET", &watch, "last-event-id: 3\r\n", "").await).await;
    assert!(!rest.contains("id: 3\n") && rest.contains("\r\n\r\nid: 4\n"), "{rest}");
    assert!(
        rest.contains("EXECUTION_FINISHED") && rest.ends_with("event: end\ndata: {}\n\n"),
        "{rest}"
    );
    let ended = whole(ask(&gateways[1], "GET", &place, "", "").await).await;
    assert!(ended.contains("\"state\":\"SUCCEEDED\""), "{ended}");
    mesh.stop().await.expect("stop");
}
