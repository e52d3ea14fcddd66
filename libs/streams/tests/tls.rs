//! A Redis over TLS, with a root of its own.

mod common;

use std::time::Duration;

use common::{eventually, server_with};
use nexus_servers::{Certificates, Redis};
use nexus_streams::redis::{RedisOptions, RedisSetupError, RedisTls};
use nexus_streams::{Dispatch, Lane, RedisDispatch};
use tokio_util::sync::CancellationToken;

/// One that speaks TLS to clients with a certificate, and its port for them.
fn secure(certificates: &Certificates) -> (Redis, u16) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("address").port();
    drop(free);
    let arguments = certificates.redis(port);
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    (server_with(&words), port)
}

fn own(certificates: &Certificates) -> RedisTls {
    RedisTls {
        ca: Some(certificates.ca()),
        cert: Some(certificates.cert()),
        key: Some(certificates.key()),
    }
}

async fn start(url: String, tls: RedisTls) -> Result<RedisDispatch, RedisSetupError> {
    let options = RedisOptions {
        tls,
        ..RedisOptions::new(url)
    };
    RedisDispatch::start(options, &CancellationToken::new()).await
}

#[tokio::test]
async fn entries_pass_over_tls_with_certificates_of_ones_own() {
    let certificates = Certificates::new().expect("certificates");
    let (_server, port) = secure(&certificates);
    let url = format!("rediss://localhost:{port}");
    let dispatch = start(url.clone(), own(&certificates)).await.expect("start");
    let taker = start(url, own(&certificates)).await.expect("start");
    dispatch
        .publish(vec![common::entry(1, 7, Lane::Normal)])
        .await
        .expect("publish");
    let taken = taker
        .take(&["default".into()], 1, Duration::from_secs(10))
        .await
        .expect("take");
    assert_eq!(common::tasks(&taken), [(1, 7)]);
    assert_eq!(dispatch.held(), 0, "it went through Redis");
}

#[tokio::test]
async fn servers_of_another_root_and_files_that_do_not_fit_are_refused() {
    let certificates = Certificates::new().expect("certificates");
    let others = Certificates::new().expect("certificates");
    let (server, port) = secure(&certificates);
    let secure = format!("rediss://localhost:{port}");
    let half = RedisTls {
        key: None,
        ..own(&certificates)
    };
    let missing = RedisTls {
        ca: Some("/nowhere/ca.pem".into()),
        ..RedisTls::default()
    };
    for (url, tls, says) in [
        (secure.clone(), own(&others), "invalid peer certificate"),
        (secure.clone(), half, "together"),
        (secure.clone(), missing, "/nowhere/ca.pem"),
        (server.url(), own(&certificates), "rediss://"),
    ] {
        let error = start(url, tls).await.expect_err(says);
        assert!(matches!(error, RedisSetupError::Certificates(_)), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
    // The public roots do not vouch for it either.
    assert!(start(secure, RedisTls::default()).await.is_err());
}

#[tokio::test]
async fn a_client_without_a_certificate_is_shut_out() {
    let certificates = Certificates::new().expect("certificates");
    let (_server, port) = secure(&certificates);
    let without = RedisTls {
        ca: Some(certificates.ca()),
        ..RedisTls::default()
    };
    let dispatch = start(format!("rediss://localhost:{port}"), without).await;
    let dispatch = dispatch.expect("a Redis that does not answer is waited for");
    dispatch
        .publish(vec![common::entry(1, 1, Lane::Normal)])
        .await
        .expect("kept");
    eventually("it is kept here", || async { dispatch.held() == 1 }).await;
}
