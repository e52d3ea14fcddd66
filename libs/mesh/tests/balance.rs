//! Balancing over real sockets: calls are spread, dead and draining replicas are avoided, and those that come back are
//! used again.

mod common;

use std::time::Duration;

use common::{Client, Server, beat, eventually};
use nexus_mesh::server::ServerOptions;
use nexus_mesh::transport::{ClientOptions, Fresh, connect_balanced, connect_one};
use tokio::time::sleep;

fn list(servers: &[&Server]) -> String {
    let addresses: Vec<_> = servers
        .iter()
        .map(|server| format!("http://{}", server.address))
        .collect();
    addresses.join(",")
}

fn balanced(addresses: &str) -> Client {
    Client::new(connect_balanced(addresses, &ClientOptions::default()).expect("way"))
}

#[tokio::test]
async fn calls_are_spread_and_none_fails_when_a_replica_dies() {
    let (one, two, three) = tokio::join!(
        Server::start(ServerOptions::default()),
        Server::start(ServerOptions::default()),
        Server::start(ServerOptions::default())
    );
    let client = balanced(&list(&[&one, &two, &three]));
    for _ in 0..300 {
        beat(&client).await.expect("answer");
    }
    for server in [&one, &two, &three] {
        assert!(server.count() > 50, "{}", server.count());
    }
    let address = two.address;
    two.kill().await;
    for _ in 0..300 {
        beat(&client).await.expect("another replica answers");
    }
    let again = Server::start_at(address, ServerOptions::default()).await;
    eventually("calls to the replica that came back", async || {
        beat(&client).await.expect("answer");
        again.count() > 0
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_says_not_serving_gets_no_calls() {
    let (one, two) = tokio::join!(
        Server::start(ServerOptions::default()),
        Server::start(ServerOptions::default())
    );
    let client = balanced(&list(&[&one, &two]));
    one.readiness.drain();
    let mut quiet = 0;
    eventually("no calls for the replica that drains", async || {
        let before = one.count();
        for _ in 0..20 {
            beat(&client).await.expect("answer");
        }
        quiet = if one.count() == before { quiet + 1 } else { 0 };
        sleep(Duration::from_millis(50)).await;
        quiet == 10
    })
    .await;
}

#[tokio::test]
async fn a_service_that_is_away_is_unavailable_soon_and_found_when_it_comes() {
    let server = Server::start(ServerOptions::default()).await;
    let address = server.address;
    server.kill().await;
    let client = balanced(&format!("http://{address}"));
    let refused = tokio::time::timeout(Duration::from_secs(10), beat(&client))
        .await
        .expect("in time");
    assert_eq!(refused.expect_err("nobody there").code(), tonic::Code::Unavailable);
    let _server = Server::start_at(address, ServerOptions::default()).await;
    eventually("an answer", async || beat(&client).await.is_ok()).await;
    let nowhere = balanced("http://no-such-host.invalid:1");
    let refused = beat(&nowhere).await.expect_err("no address");
    assert!(refused.message().contains("no-such-host.invalid"), "{refused:?}");
    assert_eq!(refused.code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn one_replica_is_kept_until_something_new_begins_or_it_dies() {
    let (one, two) = tokio::join!(
        Server::start(ServerOptions::default()),
        Server::start(ServerOptions::default())
    );
    let addresses = list(&[&one, &two]);
    let client = Client::new(connect_one(&addresses, &ClientOptions::default()).expect("way"));
    for _ in 0..50 {
        beat(&client).await.expect("answer");
    }
    let counts = [one.count(), two.count()];
    assert!(counts.contains(&50) && counts.contains(&0), "{counts:?}");
    // New sessions go to either.
    for _ in 0..40 {
        let mut request = tonic::Request::new(nexus_api::worker::v1::RegisterWorkerRequest::default());
        request.extensions_mut().insert(Fresh);
        client.clone().register_worker(request).await.expect("answer");
    }
    assert!(one.count() > 0 && two.count() > 0);
    one.kill().await;
    eventually("the other replica", async || beat(&client).await.is_ok()).await;
}

#[tokio::test]
async fn a_server_closes_connections_beyond_its_limit_and_serves_on() {
    let server = Server::start(ServerOptions {
        max_connections: 2,
        ..ServerOptions::default()
    })
    .await;
    let address = format!("http://{}", server.address);
    let way = || Client::new(connect_one(&address, &ClientOptions::default()).expect("way"));
    let (first, second, third) = (way(), way(), way());
    beat(&first).await.expect("the first");
    beat(&second).await.expect("just under the limit");
    assert!(beat(&third).await.is_err(), "just over it");
    beat(&first).await.expect("served on");
    drop(second);
    eventually("a place that is free again", async || beat(&third).await.is_ok()).await;
}

#[tokio::test]
async fn a_server_that_ends_serves_open_connections_until_the_second_step() {
    let server = Server::start(ServerOptions::default()).await;
    let address = format!("http://{}", server.address);
    let way = || Client::new(connect_one(&address, &ClientOptions::default()).expect("way"));
    let open = way();
    beat(&open).await.expect("answer");
    server.ending.accepting.cancel();
    eventually("refused connections", async || beat(&way()).await.is_err()).await;
    beat(&open).await.expect("an open connection is served on");
    server.ending.serving.cancel();
    eventually("the end", async || beat(&open).await.is_err()).await;
}

#[tokio::test]
async fn metadata_may_be_just_as_large_as_the_limit() {
    let limit = 4_096;
    let server = Server::start(ServerOptions {
        max_metadata_bytes: limit,
        ..ServerOptions::default()
    })
    .await;
    let client =
        Client::new(connect_one(&format!("http://{}", server.address), &ClientOptions::default()).expect("way"));
    let call = async |bytes: usize| {
        let mut request = tonic::Request::new(nexus_api::worker::v1::HeartbeatTasksRequest::default());
        request
            .metadata_mut()
            .insert("x-test", "x".repeat(bytes).parse().expect("header"));
        client.clone().heartbeat_tasks(request).await
    };
    // The other headers of a call take some hundred bytes.
    call(limit as usize - 1_000).await.expect("just under");
    let refused = tokio::time::timeout(Duration::from_secs(5), call(limit as usize))
        .await
        .expect("in time");
    assert!(refused.is_err(), "just over");
    call(10).await.expect("served on");
}

#[tokio::test]
async fn a_replica_that_hangs_is_left_alone() {
    // It accepts connections and says nothing, as a frozen process does.
    let frozen = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let server = Server::start(ServerOptions::default()).await;
    let addresses = format!(
        "http://{},http://{}",
        frozen.local_addr().expect("address"),
        server.address
    );
    let client = balanced(&addresses);
    // Within one round of health checks it is known; from then on nobody waits.
    eventually("ten quick answers in a row", async || {
        for _ in 0..10 {
            let quick = tokio::time::timeout(Duration::from_millis(500), beat(&client)).await;
            if !matches!(quick, Ok(Ok(()))) {
                return false;
            }
        }
        true
    })
    .await;
}
