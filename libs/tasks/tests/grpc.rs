//! gRPC tasks against a service on a real socket.

mod common;
mod orders;

use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::Run;
use nexus_tasks::{FailureKind, LogStream};
use orders::{Orders, Reflection, descriptor_set};
use serde_json::{Value, json};

fn call(server: &Orders, method: &str, message: Value) -> Value {
    json!({"target": server.target(), "method": format!("shop.v1.Orders/{method}"), "message": message})
}

/// An object with more in it.
fn with(mut object: Value, more: Value) -> Value {
    let (Some(all), Value::Object(more)) = (object.as_object_mut(), more) else {
        panic!("objects")
    };
    all.extend(more);
    object
}

fn base64_set() -> String {
    STANDARD.encode(descriptor_set())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_and_its_answer_are_json_and_connections_are_shared() {
    let server = Orders::start(Reflection::V1).await;
    let run = Run::default();
    let message = json!({"item": "tea", "count": "9007199254740993", "blob": "AAE=", "at": "2026-01-02T03:04:05Z",
                         "sizes": {"big": 3}});
    let ended = run.run("grpc", call(&server, "Place", message.clone())).await;
    assert_eq!(
        ended.output(),
        json!({"item": "tea", "number": "9007199254740993", "paid": false, "at": "2026-01-02T03:04:05Z", "refunds": []})
    );
    let log = ended.text(LogStream::System).join("");
    assert!(
        log.contains("shop.v1.Orders/Place ended with OK") && !log.contains("tea"),
        "{log}"
    );
    let empty = run.run("grpc", call(&server, "Place", Value::Null)).await;
    assert_eq!(empty.output()["item"], "");
    let stream = run
        .run("grpc", call(&server, "Watch", json!({"item": "x", "count": 3})))
        .await;
    let numbers: Vec<Value> = stream.output()["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| message["number"].clone())
        .collect();
    assert_eq!(numbers, [json!("0"), json!("1"), json!("2")]);
    let none = run.run("grpc", call(&server, "Watch", json!({}))).await;
    assert_eq!(none.output(), json!({"messages": []}));
    assert_eq!(
        server.seen.connections.load(Ordering::SeqCst),
        1,
        "one connection for all of them"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_method_is_described_by_either_reflection_or_by_a_descriptor() {
    let old = Orders::start(Reflection::V1Alpha).await;
    let silent = Orders::start(Reflection::None).await;
    let run = Run::default();
    let order = json!({"item": "tea"});
    assert_eq!(
        run.run("grpc", call(&old, "Place", order.clone())).await.output()["item"],
        "tea"
    );
    let refused = run.run("grpc", call(&silent, "Place", order.clone())).await;
    let failure = refused.failure();
    assert_eq!(
        (failure.error_type.as_str(), failure.non_retryable),
        ("GrpcReflection", true)
    );
    assert!(failure.message.contains("give `descriptor`"), "{}", failure.message);
    let input = with(call(&silent, "Place", order), json!({"descriptor": base64_set()}));
    assert_eq!(run.run("grpc", input).await.output()["item"], "tea");
    assert_eq!(silent.seen.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_task_says_wrongly_is_told_before_anything_is_sent() {
    let server = Orders::start(Reflection::V1).await;
    let run = Run::default();
    let service = |method: &str| json!({"target": server.target(), "method": method});
    let set = |text: &str| with(call(&server, "Place", json!({})), json!({"descriptor": text}));
    for (input, error_type, told) in [
        (service("shop.v1.Nobody/Place"), "GrpcMethod", "shop.v1.Orders"),
        (call(&server, "Plaice", json!({})), "GrpcMethod", "it has Place, Get"),
        (call(&server, "Upload", json!({})), "GrpcMethod", "stream of requests"),
        (call(&server, "Place", json!({"itme": 1})), "GrpcMessage", "itme"),
        (
            call(&server, "Place", json!({"count": "many"})),
            "GrpcMessage",
            "does not fit shop.v1.Order",
        ),
        (call(&server, "Place", json!([1])), "GrpcMessage", "does not fit"),
        (set("???"), "InvalidTask", "protoc --include_imports"),
        (set(&STANDARD.encode("nonsense")), "InvalidTask", "not a descriptor set"),
        (
            with(service("a/b"), json!({"descriptor": base64_set()})),
            "GrpcMethod",
            "the descriptor has no service a",
        ),
        (
            with(
                call(&server, "Place", json!({})),
                json!({"metadata": {"grpc-timeout": "1S"}}),
            ),
            "InvalidTask",
            "metadata",
        ),
        (
            with(call(&server, "Place", json!({})), json!({"tls": {}})),
            "InvalidTask",
            "https://",
        ),
    ] {
        let ended = run.run("grpc", input.clone()).await;
        let failure = ended.failure();
        assert_eq!(
            (failure.error_type.as_str(), failure.non_retryable),
            (error_type, true),
            "{input} {failure:?}"
        );
        assert!(failure.message.contains(told), "{told}: {}", failure.message);
    }
    assert_eq!(server.seen.count(), 0, "no method was called");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_status_is_an_error_type_and_retried_only_where_that_is_safe() {
    let server = Orders::start(Reflection::V1).await;
    let run = Run::default();
    let safe = ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED"];
    let doubtful = ["CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL"];
    let pointless = [
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    for code in safe.into_iter().chain(doubtful).chain(pointless) {
        let message = json!({"item": format!("fail:{code}")});
        for (method, more, repeatable) in [
            ("Place", json!({}), false),
            ("Place", json!({"idempotent": true}), true),
            ("Get", json!({}), true),
            ("Put", json!({}), true),
            ("Get", json!({"idempotent": false}), false),
        ] {
            let ended = run
                .run("grpc", with(call(&server, method, message.clone()), more))
                .await;
            let failure = ended.failure();
            assert_eq!(failure.error_type, format!("Grpc.{code}"));
            assert!(failure.message.contains("as you asked"), "{}", failure.message);
            assert_eq!(failure.details.as_ref().expect("details")["code"], code);
            let retried = safe.contains(&code) || (doubtful.contains(&code) && repeatable);
            assert_eq!(!failure.non_retryable, retried, "{code} {method}");
            let told = failure.message.contains("may have taken effect");
            assert_eq!(told, doubtful.contains(&code) && !repeatable, "{}", failure.message);
        }
        // A stream that has begun may have done its work, whatever its end says.
        let begun = run
            .run(
                "grpc",
                call(&server, "Watch", json!({"item": format!("fail:{code}"), "count": 1})),
            )
            .await;
        assert_eq!(begun.failure().error_type, format!("Grpc.{code}"));
        assert!(begun.failure().non_retryable, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_adds_to_its_status_is_shown_and_its_wait_is_kept_to() {
    let server = Orders::start(Reflection::V1).await;
    let run = Run::default();
    let ended = run
        .run("grpc", call(&server, "Place", json!({"item": "detailed"})))
        .await;
    let failure = ended.failure();
    assert_eq!(failure.next_retry_delay, Some(Duration::from_secs(7)));
    assert_eq!(
        failure.details,
        Some(json!({
            "code": "UNAVAILABLE",
            "retry_delay_seconds": 7.0,
            "error_info": {"reason": "OUT_OF_STOCK", "domain": "shop.example.com", "metadata": {"sku": "17"}},
            "field_violations": [{"field": "item", "description": "there is none left"}],
        }))
    );
    let ended = run
        .run("grpc", call(&server, "Place", json!({"item": "long wait"})))
        .await;
    let failure = ended.failure();
    assert_eq!(failure.next_retry_delay, Some(Duration::from_secs(3_600)), "bounded");
    assert!(
        !failure.non_retryable,
        "who says when to come again wants the call again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_reaches_the_server_and_secrets_stay_out_of_failures() {
    let server = Orders::start(Reflection::V1).await;
    let mut run = Run::default().timeout(Duration::from_secs(20));
    run.secrets = vec!["hunter2-secret".to_owned()];
    let metadata =
        json!({"metadata": {"authorization": "Bearer hunter2-secret", "n": 7, "none": null, "blob-bin": "AAE="}});
    run.run("grpc", with(call(&server, "Place", json!({})), metadata))
        .await
        .output();
    let seen = server.seen.last();
    let text = |name: &str| {
        seen.get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(
        (text("authorization"), text("n")),
        ("Bearer hunter2-secret".to_owned(), "7".to_owned())
    );
    assert_eq!(
        text("traceparent"),
        "00-11111111111111111111111111111111-2222222222222222-01"
    );
    assert_eq!(text("idempotency-key"), "0198/probe");
    assert_eq!(
        seen.get_bin("blob-bin")
            .expect("there")
            .to_bytes()
            .expect("bytes")
            .as_ref(),
        [0, 1]
    );
    assert!(!seen.contains_key("none") && seen.contains_key("grpc-timeout"));
    assert!(text("user-agent").starts_with("nexus/"), "{}", text("user-agent"));
    run.run("grpc", call(&server, "Get", json!({}))).await.output();
    assert!(!server.seen.last().contains_key("idempotency-key"), "it only reads");
    let own = json!({"metadata": {"idempotency-key": "mine"}});
    run.run("grpc", with(call(&server, "Place", json!({})), own))
        .await
        .output();
    assert_eq!(server.seen.last().get("idempotency-key").expect("there"), "mine");
    let unfit = run
        .run("grpc", call(&server, "Place", json!({"count": "hunter2-secret"})))
        .await;
    assert!(
        !format!("{:?}", unfit.failure()).contains("hunter2"),
        "{:?}",
        unfit.failure()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlines_and_cancels_end_the_call_at_the_server_too() {
    let server = Orders::start(Reflection::V1).await;
    let hang = || call(&server, "Place", json!({"item": "hang"}));
    let cancelled = |n: usize| {
        let seen = &server.seen;
        async move {
            let wait = async {
                while seen.cancelled.load(Ordering::SeqCst) < n {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), wait)
                .await
                .expect("the server sees it end");
        }
    };
    let late = Run::default()
        .run("grpc", with(hang(), json!({"deadline": "300ms"})))
        .await;
    let failure = late.failure();
    assert_eq!(
        (failure.error_type.as_str(), failure.non_retryable),
        ("Grpc.DEADLINE_EXCEEDED", true)
    );
    assert!(failure.message.contains("idempotent: true"), "{}", failure.message);
    let told = server
        .seen
        .last()
        .get("grpc-timeout")
        .expect("told")
        .to_str()
        .expect("text")
        .to_owned();
    assert!(told.starts_with("300"), "{told}");
    cancelled(1).await;
    let again = json!({"deadline": "300ms", "idempotent": true});
    assert!(
        !Run::default()
            .run("grpc", with(hang(), again))
            .await
            .failure()
            .non_retryable
    );
    cancelled(2).await;
    // A deadline beyond the attempt's own limit changes nothing.
    let run = Run::default().timeout(Duration::from_millis(600));
    let out_of_time = run.run("grpc", with(hang(), json!({"deadline": "1h"}))).await;
    assert_eq!(out_of_time.failure().kind, FailureKind::Timeout);
    cancelled(3).await;
    let run = Run::default();
    let cancel = run.cancel.clone();
    let before = server.seen.begun.load(Ordering::SeqCst);
    let stop = async {
        while server.seen.begun.load(Ordering::SeqCst) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(run.run("grpc", hang()), stop);
    assert_eq!(ended.outcome, nexus_tasks::Outcome::Cancelled);
    cancelled(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_bounded_in_bytes_and_messages() {
    let server = Orders::start(Reflection::V1).await;
    let run = Run::default();
    let large = |count: usize, size: &str| {
        with(
            call(&server, "Get", json!({"item": "large", "count": count})),
            json!({"max_size": size}),
        )
    };
    // Three bytes of length and tag before the text, two for the number.
    assert!(
        run.run("grpc", large(995, "1000")).await.output()["item"]
            .as_str()
            .is_some_and(|text| text.len() == 995)
    );
    let over = run.run("grpc", large(996, "1000")).await;
    assert_eq!(
        (over.failure().error_type.as_str(), over.failure().non_retryable),
        ("ResponseTooLarge", true)
    );
    assert!(
        over.failure().message.contains("max_size"),
        "{}",
        over.failure().message
    );
    let watch = |count: usize, more: Value| with(call(&server, "Watch", json!({"item": "x", "count": count})), more);
    let few = json!({"max_messages": 5});
    assert_eq!(
        run.run("grpc", watch(5, few.clone())).await.output()["messages"]
            .as_array()
            .map(Vec::len),
        Some(5)
    );
    let many = run.run("grpc", watch(6, few)).await;
    assert_eq!(
        (many.failure().error_type.as_str(), many.failure().non_retryable),
        ("TooManyMessages", true)
    );
    let long = run.run("grpc", watch(100, json!({"max_size": "100"}))).await;
    assert_eq!(
        long.failure().error_type,
        "ResponseTooLarge",
        "of all messages together"
    );
    let endless = run
        .run("grpc", call(&server, "Watch", json!({"item": "endless"})))
        .await;
    assert_eq!(endless.failure().error_type, "TooManyMessages");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_given_is_not_asked_for_again() {
    let server = Orders::start(Reflection::V1).await;
    let run = Run::default();
    let bomb = run
        .run(
            "grpc",
            call(&server, "Place", json!({"item": "bomb", "count": 400_000})),
        )
        .await;
    assert_eq!(
        (bomb.failure().error_type.as_str(), bomb.failure().non_retryable),
        ("OutputTooLarge", true)
    );
    let garbage = run
        .run("grpc", call(&server, "Place", json!({"item": "garbage"})))
        .await;
    assert_eq!(
        (garbage.failure().error_type.as_str(), garbage.failure().non_retryable),
        ("GrpcAnswer", true)
    );
    assert!(
        garbage.failure().message.contains("the server has answered"),
        "{}",
        garbage.failure().message
    );
    for count in [0, 2] {
        let wrong = run
            .run("grpc", call(&server, "Mute", json!({"item": "x", "count": count})))
            .await;
        let failure = wrong.failure();
        assert_eq!(
            (failure.error_type.as_str(), failure.non_retryable),
            ("GrpcAnswer", true),
            "{count}"
        );
    }
}
