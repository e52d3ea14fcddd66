//! Which servers gRPC tasks reach, and how: addresses, certificates, connections that break.

mod common;
mod orders;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::{Run, options};
use orders::{Orders, Reflection};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

fn place(target: &str) -> Value {
    json!({"target": target, "method": "shop.v1.Orders/Place", "message": {"item": "tea"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_in_every_spelling() {
    let server = Orders::start(Reflection::V1).await;
    let mut options = options();
    options.allow_private = false;
    let guarded = Run::with(options);
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
    ] {
        let ended = guarded.run("grpc", place(&format!("http://{host}:{port}"))).await;
        let failure = ended.failure();
        assert_eq!(
            (failure.error_type.as_str(), failure.non_retryable),
            ("AddressRefused", true),
            "{host} {failure:?}"
        );
    }
    assert_eq!(
        server.seen.connections.load(Ordering::SeqCst),
        0,
        "nothing was even connected to"
    );
    for bad in ["127.0.0.1:1", "ftp://x", "http://u:pass123word@x", "http://x/path"] {
        let ended = guarded.run("grpc", place(bad)).await;
        assert_eq!(ended.failure().error_type, "InvalidUrl", "{bad}");
        assert!(!ended.failure().message.contains("pass123word"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_reached_is_named_and_may_be_tried_again() {
    let run = Run::default();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("port")
        .local_addr()
        .expect("address");
    let closed = run.run("grpc", place(&format!("http://{free}"))).await;
    assert_eq!(
        (closed.failure().error_type.as_str(), closed.failure().non_retryable),
        ("Connect", false)
    );
    assert!(
        closed.failure().message.contains("refused"),
        "{}",
        closed.failure().message
    );
    let plain = Orders::start(Reflection::V1).await;
    let tls = run.run("grpc", place(&plain.target().replace("http:", "https:"))).await;
    assert_eq!(tls.failure().error_type, "Tls", "{:?}", tls.failure());
}

/// A server that goes away is no end of its target: the next call connects anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_made_anew_and_a_call_on_it_is_in_doubt() {
    let run = Run::default();
    // Takes the connection and the call, and hangs up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    let server = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut bytes = [0; 4096];
            let mut read = 0;
            // Preface, settings and the call itself.
            while read < 300 {
                read += socket.read(&mut bytes).await.expect("bytes");
            }
        }
    });
    let input = |more: Value| {
        let mut input = place(&format!("http://{address}"));
        input["descriptor"] = json!(base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            orders::descriptor_set()
        ));
        input["metadata"] = json!({"padding": "x".repeat(400)});
        input
            .as_object_mut()
            .expect("object")
            .extend(more.as_object().expect("object").clone());
        input
    };
    let lost = run.run("grpc", input(json!({}))).await;
    let failure = lost.failure();
    assert_eq!(
        (failure.error_type.as_str(), failure.non_retryable),
        ("ConnectionLost", true),
        "{failure:?}"
    );
    assert!(failure.message.contains("may have taken effect"), "{}", failure.message);
    let again = run.run("grpc", input(json!({"idempotent": true}))).await;
    assert_eq!(
        (again.failure().error_type.as_str(), again.failure().non_retryable),
        ("ConnectionLost", false)
    );
    server.await.expect("both calls arrived");
}

/// A root, and certificates of it.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("key");
        let pem = params.self_signed(&key).expect("root").pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    fn certificate(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("params");
        (
            params.signed_by(&key, &self.issuer).expect("certificate").pem(),
            key.serialize_pem(),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_verified_both_ways() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (cert, key) = authority.certificate("localhost");
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(&cert, &key))
        .client_ca_root(Certificate::from_pem(&authority.pem));
    let server = Orders::start_with(Reflection::V1, Some(tls)).await;
    let run = Run::default();
    let (own, own_key) = authority.certificate("worker");
    let input = |host: &str, tls: Value| {
        let mut input = place(&format!("https://{host}:{}", server.address.port()));
        input["tls"] = tls;
        input
    };
    let good = json!({"ca": authority.pem, "cert": own, "key": own_key});
    assert_eq!(
        run.run("grpc", input("localhost", good.clone())).await.output()["item"],
        "tea"
    );
    let mut named = good.clone();
    named["server_name"] = json!("localhost");
    assert_eq!(run.run("grpc", input("127.0.0.1", named)).await.output()["item"], "tea");
    let bare = json!({"ca": authority.pem});
    let mut stranger = good.clone();
    stranger["ca"] = json!(other.pem);
    for (host, tls, why) in [
        ("localhost", stranger, "another root"),
        ("localhost", json!({}), "the system's roots"),
        ("127.0.0.1", good.clone(), "another name"),
    ] {
        let ended = run.run("grpc", input(host, tls)).await;
        let failure = ended.failure();
        assert_eq!(failure.error_type, "Tls", "{why}: {failure:?}");
    }
    // A server says so when the connection stands already, and may hang up before the call has gone out.
    let ended = run.run("grpc", input("localhost", bare)).await;
    let lost = matches!(ended.failure().error_type.as_str(), "Connect" | "ConnectionLost");
    assert!(lost, "{:?}", ended.failure());
    assert_eq!(server.seen.count(), 2);
    for (field, pem) in [("ca", "x"), ("cert", "x"), ("key", "x")] {
        let mut bad = good.clone();
        bad[field] = json!(pem);
        let ended = run.run("grpc", input("localhost", bad)).await;
        let failure = ended.failure();
        assert_eq!(
            (failure.error_type.as_str(), failure.non_retryable),
            ("InvalidTask", true),
            "{field}"
        );
        assert!(failure.message.contains(&format!("tls.{field}")) && !failure.message.contains("PRIVATE KEY"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_called_before_the_gate_opens() {
    let server = Orders::start(Reflection::V1).await;
    let run = Run::default().timeout(Duration::from_secs(2));
    let (logs, _lines) = nexus_tasks::LogSink::new(64);
    let ctx = nexus_tasks::RunContext {
        execution: "e".into(),
        task: "t".into(),
        attempt: 1,
        idempotency_key: "e/t".into(),
        namespace: "default".into(),
        traceparent: String::new(),
        timeout: run.timeout,
        cancel: run.cancel.clone(),
        gate: nexus_tasks::Gate::new(std::future::pending),
        logs,
        redactor: std::sync::Arc::new(nexus_tasks::Redactor::new(Vec::<String>::new())),
    };
    let task = nexus_tasks::TaskInput {
        kind: "grpc".into(),
        input: place(&server.target()),
    };
    let outcome = run.runner.run(task, ctx).await;
    assert!(matches!(outcome, nexus_tasks::Outcome::Failed(failure) if failure.error_type == "Timeout"));
    assert_eq!(
        (server.seen.connections.load(Ordering::SeqCst), server.seen.count()),
        (1, 0),
        "asked, and not called"
    );
}
