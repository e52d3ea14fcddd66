//! Sizes, counts and times of requests: just at the bound, and just beyond it.

use std::time::Duration;

use nexus_tests::{Dev, DevOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const VALIDATE: &str = "/api/v1/dag/validate";
const MOST: usize = 16 << 20;

#[tokio::test]
async fn a_body_is_taken_just_up_to_its_limit() {
    let dev = Dev::start();
    let around = "{\"source\":\"\"}".len();
    for (bytes, told) in [(MOST, "source has"), (MOST + 1, "gateway.max_body_bytes")] {
        // Beyond what a file may have, which the service says; beyond what a body may have, which it never sees.
        let body = format!("{{\"source\":\"{}\"}}", "x".repeat(bytes - around));
        let answer = dev.post(VALIDATE, &body).await;
        let problem = answer.json();
        let detail = problem["detail"].as_str().expect("detail");
        assert!(answer.status == 413 && detail.contains(told), "{bytes}: {problem}");
    }
    assert_eq!(dev.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn deep_json_long_addresses_and_many_headers_are_refused_and_nobody_is_hurt() {
    let dev = Dev::start();
    let deep = format!("{{\"source\":{}", "[".repeat(1_000_000));
    assert_eq!(dev.post(VALIDATE, &deep).await.status, 400);
    let address = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
    assert_eq!(dev.get(&address(8 << 10)).await.status, 404);
    assert_eq!(dev.get(&address((8 << 10) + 1)).await.status, 414);
    let big = "y".repeat(20_000);
    assert_eq!(dev.ask("GET", "/healthz", &[("x-big", &big)], "").await.status, 431);
    let parameters = (0..257).map(|at| format!("p{at}=1")).collect::<Vec<_>>().join("&");
    assert_eq!(dev.get(&format!("/api/v1/workflows?{parameters}")).await.status, 400);
    assert_eq!(dev.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn those_who_say_little_hold_up_nobody_else() {
    let dev = Dev::start_with(DevOptions {
        args: vec!["--no-sample".into()],
        ..DevOptions::default()
    });
    let authority = dev.address().trim_start_matches("http://").to_owned();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut socket = TcpStream::connect(&authority).await.expect("connected");
        socket
            .write_all(b"POST /api/v1/dag/validate HTTP/1.1\r\nhost: localhost\r\n")
            .await
            .expect("sent");
        slow.push(socket);
    }
    let mut silent = TcpStream::connect(&authority).await.expect("connected");
    for _ in 0..20 {
        let begun = std::time::Instant::now();
        assert_eq!(dev.get("/api/v1/workflows").await.status, 200);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    // Who says nothing at all is sent away after ten seconds.
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_secs(20), silent.read(&mut byte)).await;
    assert!(matches!(read.expect("closed"), Ok(0) | Err(_)));
}
