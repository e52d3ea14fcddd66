//! HTTP tasks against a scripted server.

mod common;

use std::time::Duration;

use common::{Run, options};
use nexus_tasks::{FailureKind, LogStream};
use serde_json::json;
use wiremock::matchers::{body_json, body_string, header, header_exists, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

#[tokio::test(flavor = "multi_thread")]
async fn request_and_response_are_what_the_task_says() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/orders"))
        .and(query_param("day", "2026-01-01"))
        .and(header("authorization", "Bearer k"))
        .and(header_exists("traceparent"))
        .and(header("idempotency-key", "0198/probe"))
        .and(body_json(json!({"n": 1})))
        .respond_with(
            ResponseTemplate::new(201)
                .append_header("X-Two", "a")
                .append_header("X-Two", "b")
                .set_body_raw(r#"{"big": 12345678901234567890123}"#, "application/json; charset=utf-8"),
        )
        .mount(&server)
        .await;
    let run = Run::default();
    let url = format!("{}/orders", server.uri());
    let ended = run.run("http", json!({"url": url, "query": {"day": "2026-01-01", "none": null}, "headers": {"Authorization": "Bearer k"}, "json": {"n": 1}})).await;
    let output = ended.output();
    assert_eq!(
        (&output["status"], &output["headers"]["x-two"]),
        (&json!(201), &json!("a, b"))
    );
    let nexus_tasks::Outcome::Succeeded(text) = &ended.outcome else {
        panic!()
    };
    assert!(text.contains("12345678901234567890123"), "{text}");
    let log = ended.text(LogStream::System).join("");
    assert!(log.contains("answered 201") && !log.contains("2026-01-01"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_text_and_gets() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(body_string("a=1&b=x&b=y+z"))
        .respond_with(ResponseTemplate::new(200).set_body_string("ok"))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let run = Run::default();
    let form = run
        .run(
            "http",
            json!({"url": server.uri(), "form": {"a": 1, "b": ["x", "y z"]}}),
        )
        .await;
    assert_eq!(form.output()["text"], "ok");
    let get = run.run("http", json!({"url": server.uri()})).await;
    assert_eq!(
        (get.output()["status"].clone(), get.output()["text"].clone()),
        (json!(204), json!(""))
    );
    let requests = server.received_requests().await.expect("requests");
    assert!(
        !requests[1].headers.contains_key("idempotency-key"),
        "a GET changes nothing"
    );
    let both = run
        .run("http", json!({"url": server.uri(), "body": "x", "json": null}))
        .await;
    assert_eq!(both.failure().error_type, "InvalidTask");
}

#[tokio::test(flavor = "multi_thread")]
async fn unexpected_statuses_and_sizes_fail_by_name() {
    let server = MockServer::start().await;
    Mock::given(path("/busy"))
        .respond_with(
            ResponseTemplate::new(503)
                .append_header("Retry-After", "7")
                .set_body_string("later"),
        )
        .mount(&server)
        .await;
    Mock::given(path("/none"))
        .respond_with(ResponseTemplate::new(404))
        .mount(&server)
        .await;
    Mock::given(path("/large"))
        .respond_with(ResponseTemplate::new(200).set_body_string("x".repeat(1001)))
        .mount(&server)
        .await;
    Mock::given(path("/slow"))
        .respond_with(ResponseTemplate::new(200).set_delay(Duration::from_secs(30)))
        .mount(&server)
        .await;
    let run = Run::default();
    let busy = run.run("http", json!({"url": format!("{}/busy", server.uri())})).await;
    let failure = busy.failure();
    assert_eq!(failure.error_type, "HttpStatus.503");
    assert_eq!(failure.next_retry_delay, Some(Duration::from_secs(7)));
    assert_eq!(failure.details.as_ref().expect("details")["body"], "later");
    assert!(!failure.non_retryable);
    let none = run.run("http", json!({"url": format!("{}/none", server.uri())})).await;
    assert_eq!(none.failure().error_type, "HttpStatus.404");
    let fine = run
        .run(
            "http",
            json!({"url": format!("{}/none", server.uri()), "expect": ["2xx", 404]}),
        )
        .await;
    assert_eq!(fine.output()["status"], 404);
    let large = |size: &str| json!({"url": format!("{}/large", server.uri()), "max_size": size});
    assert_eq!(
        run.run("http", large("1000")).await.failure().error_type,
        "ResponseTooLarge"
    );
    assert_eq!(run.run("http", large("1001")).await.output()["status"], 200);
    let run = Run::default().timeout(Duration::from_millis(200));
    let slow = run.run("http", json!({"url": format!("{}/slow", server.uri())})).await;
    assert_eq!(slow.failure().kind, FailureKind::Timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_only_when_asked_for() {
    let server = MockServer::start().await;
    Mock::given(path("/a"))
        .respond_with(ResponseTemplate::new(302).append_header("Location", "/b"))
        .mount(&server)
        .await;
    Mock::given(path("/b"))
        .respond_with(ResponseTemplate::new(302).append_header("Location", "/c"))
        .mount(&server)
        .await;
    Mock::given(path("/c"))
        .respond_with(ResponseTemplate::new(200).set_body_string("end"))
        .mount(&server)
        .await;
    let run = Run::default();
    let input = |redirects: u8| json!({"url": format!("{}/a", server.uri()), "redirects": redirects});
    assert_eq!(run.run("http", input(0)).await.failure().error_type, "HttpStatus.302");
    assert_eq!(run.run("http", input(1)).await.failure().error_type, "TooManyRedirects");
    assert_eq!(run.run("http", input(2)).await.output()["text"], "end");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_named() {
    let run = Run::default();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("port")
        .local_addr()
        .expect("address");
    let closed = run
        .run("http", json!({"url": format!("http://u:pass123word@{free}/?k=q")}))
        .await;
    assert_eq!(closed.failure().error_type, "Connect");
    assert!(
        !closed.failure().message.contains("pass123word"),
        "{}",
        closed.failure().message
    );
    assert_eq!(
        run.run("http", json!({"url": "not an address"}))
            .await
            .failure()
            .error_type,
        "InvalidUrl"
    );
    assert_eq!(
        run.run("http", json!({"url": "ftp://x/"})).await.failure().error_type,
        "InvalidUrl"
    );
    let server = MockServer::start().await;
    let tls = run
        .run("http", json!({"url": server.uri().replace("http:", "https:")}))
        .await;
    assert_eq!(tls.failure().error_type, "Tls", "{:?}", tls.failure());
    let mut options = options();
    options.allow_private = false;
    let guarded = Run::with(options);
    assert_eq!(
        guarded
            .run("http", json!({"url": server.uri()}))
            .await
            .failure()
            .error_type,
        "AddressRefused"
    );
}
