//! A client over three servers of which one is killed and one frozen: no call fails that may be made again.

use std::process::Command;
use std::time::{Duration, Instant};

use nexus_api::execution::v1::ListExecutionsRequest;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_mesh::transport::{ClientOptions, connect_balanced};
use nexus_tests::Dev;

/// HTTP/2 notices a silent peer within 15 s; then the call is made elsewhere.
const LONGEST: Duration = Duration::from_secs(25);

fn signal(dev: &Dev, signal: &str) {
    let pid = dev.pid().to_string();
    Command::new("kill").args([signal, &pid]).status().expect("kill");
}

#[tokio::test]
async fn calls_to_three_servers_survive_a_kill_and_a_freeze() {
    let servers = [Dev::start(), Dev::start(), Dev::start()];
    let addresses = servers.each_ref().map(|dev| dev.address().to_owned()).join(",");
    let client = ExecutionServiceClient::new(connect_balanced(&addresses, &ClientOptions::default()).expect("way"));
    let list = || {
        let mut client = client.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            let answer = client.list_executions(ListExecutionsRequest::default()).await;
            answer.map(|_| begun.elapsed())
        })
    };
    let mut calls = Vec::new();
    for round in 0..300 {
        match round {
            50 => signal(&servers[0], "-KILL"),
            100 => signal(&servers[1], "-STOP"),
            _ => {}
        }
        calls.push(list());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut slow = 0;
    for call in calls {
        let took = call.await.expect("call").expect("an answer from a server that lives");
        assert!(took < LONGEST, "{took:?}");
        slow += usize::from(took > Duration::from_secs(1));
    }
    // Those that were under way or chose the frozen one before its silence was noticed, and no others.
    assert!(slow <= 20, "{slow} of 300 calls were slow");
    let quick = list().await.expect("call").expect("answer");
    assert!(quick < Duration::from_secs(1), "{quick:?}");
    signal(&servers[1], "-CONT");
}
