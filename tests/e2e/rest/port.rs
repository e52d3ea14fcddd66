//! One port: HTTP/1.1 and HTTP/2, REST and gRPC and gRPC-Web, and who may ask.

use nexus_tests::Dev;
use nexus_tests::http::{Version, request, send, whole};

#[tokio::test]
async fn both_versions_of_http_and_grpc_are_answered_on_one_port() {
    let dev = Dev::start();
    dev.apply("name: one\ntasks:\n  a: {noop: {}}\n")
        .await
        .expect("over gRPC");
    let mut texts = Vec::new();
    for version in [Version::One, Version::Two] {
        let request = request(dev.address(), "GET", "/api/v1/workflows/one", &[], "");
        let answer = whole(send(dev.address(), version, request).await).await;
        assert_eq!(answer.status, 200, "{version:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        texts.push(answer.text);
    }
    assert_eq!(texts[0], texts[1]);
    let head = dev.ask("HEAD", "/api/v1/workflows/one", &[], "").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let options = dev.ask("OPTIONS", "/api/v1/workflows/one", &[], "").await;
    assert_eq!(
        (options.status, options.header("allow")),
        (204, Some("DELETE, GET, HEAD, OPTIONS, PATCH, PUT"))
    );
}

#[tokio::test]
async fn grpc_web_is_answered_over_http_1() {
    let dev = Dev::start();
    let path = "/nexus.definitions.v1.DefinitionsService/ListWorkflows";
    // One empty message: no flags, no length.
    let web = [("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1")];
    let request = request(dev.address(), "POST", path, &web, "\0\0\0\0\0");
    let answer = whole(send(dev.address(), Version::One, request).await).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("grpc-status:0"), "{:?}", answer.text);
    let foreign = [web[0], ("origin", "http://evil.example")];
    let refused = dev.ask("POST", path, &foreign, "\0\0\0\0\0").await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn pages_of_other_origins_and_other_hosts_are_refused() {
    let dev = Dev::start();
    let port = dev.address().rsplit(':').next().expect("port").to_owned();
    let (own, other) = (format!("http://127.0.0.1:{port}"), format!("evil.example:{port}"));
    for (headers, status) in [
        (vec![("origin", own.as_str())], 200),
        (vec![("origin", "http://evil.example")], 403),
        (vec![("origin", "null")], 403),
        (vec![("host", other.as_str())], 403),
        (vec![("host", "localhost")], 200),
    ] {
        let answer = dev.ask("GET", "/api/v1/workflows", &headers, "").await;
        assert_eq!(answer.status, status, "{headers:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let preflight = [
        ("origin", "http://evil.example"),
        ("access-control-request-method", "POST"),
    ];
    assert_eq!(
        dev.ask("OPTIONS", "/api/v1/workflows", &preflight, "").await.status,
        403
    );
}

#[tokio::test]
async fn health_and_the_reference_are_pages_of_the_port() {
    let dev = Dev::start();
    assert_eq!(dev.get("/healthz").await.status, 200);
    let ready = dev.get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["roles"]["gateway"]),
        (200, &"ready".into())
    );
    let docs = dev.get("/docs").await;
    assert_eq!(docs.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        docs.header("content-security-policy")
            .expect("a policy")
            .contains("default-src 'none'")
    );
    assert!(
        !docs.text.contains("http://") && !docs.text.contains("https://"),
        "nothing comes from elsewhere"
    );
    assert_eq!(dev.get("/").await.header("location"), Some("/docs"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_does_not_keep_the_process_from_ending() {
    let mut dev = Dev::start();
    let id = dev
        .launch("name: long\ntasks:\n  a: {bash: {run: 'sleep 2'}}\n", "{}")
        .await;
    let watch = format!("/api/v1/executions/{id}/watch");
    let request = request(dev.address(), "GET", &watch, &[], "");
    let stream = send(dev.address(), Version::One, request).await;
    assert_eq!(stream.status(), 200);
    let begun = std::time::Instant::now();
    let (status, told) = tokio::join!(async { tokio::task::block_in_place(|| dev.stop()) }, whole(stream));
    assert!(status.success());
    assert!(
        !told.text.contains("event: end"),
        "its reader is to come again: {}",
        told.text
    );
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}
