//! TLS over real sockets: plain, with TLS, mutual, refused, and certificates that change.

mod common;

use std::time::Duration;

use common::{Authority, Server, eventually, health};
use nexus_mesh::server::ServerOptions;
use nexus_mesh::tls::{ClientTls, ServerTls, TlsError, TlsFiles};
use nexus_mesh::transport::{ClientOptions, connect_balanced, connect_one};
use tonic_health::pb::health_check_response::ServingStatus;

fn client(files: TlsFiles) -> ClientOptions {
    ClientOptions {
        tls: Some(ClientTls::load(&files).expect("client TLS")),
        ..ClientOptions::default()
    }
}

fn trusting(authority: &Authority) -> TlsFiles {
    TlsFiles {
        ca: Some(authority.ca.clone()),
        ..TlsFiles::default()
    }
}

async fn serve(files: &TlsFiles) -> Server {
    let tls = Some(ServerTls::load(files).expect("server TLS"));
    let options = ServerOptions {
        tls,
        ..ServerOptions::default()
    };
    Server::start(options).await
}

#[tokio::test]
async fn plain_connections_work_and_do_not_reach_a_tls_server() {
    let server = Server::start(ServerOptions::default()).await;
    let plain = connect_balanced(&format!("http://{}", server.address), &ClientOptions::default()).expect("way");
    assert_eq!(health(plain).await.expect("answer"), ServingStatus::Serving);
    let folder = tempfile::tempdir().expect("folder");
    let authority = Authority::new(folder.path(), "ca");
    let (cert, key) = authority.sign("server", "localhost");
    let server = serve(&TlsFiles {
        cert: Some(cert),
        key: Some(key),
        ..TlsFiles::default()
    })
    .await;
    let plain = connect_one(&format!("http://{}", server.address), &ClientOptions::default()).expect("way");
    assert!(health(plain).await.is_err());
}

#[tokio::test]
async fn a_client_reaches_a_server_that_its_roots_vouch_for_and_no_other() {
    let folder = tempfile::tempdir().expect("folder");
    let authority = Authority::new(folder.path(), "ca");
    let stranger = Authority::new(folder.path(), "stranger");
    let (cert, key) = authority.sign("server", "localhost");
    let server = serve(&TlsFiles {
        cert: Some(cert),
        key: Some(key),
        ..TlsFiles::default()
    })
    .await;
    let address = format!("https://localhost:{}", server.address.port());
    let good = connect_balanced(&address, &client(trusting(&authority))).expect("way");
    assert_eq!(health(good).await.expect("answer"), ServingStatus::Serving);
    let wrong_roots = connect_one(&address, &client(trusting(&stranger))).expect("way");
    let refused = health(wrong_roots).await.expect_err("unknown roots");
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    // The right roots, and another name than the certificate's.
    let named = TlsFiles {
        server_name: Some("execution".into()),
        ..trusting(&authority)
    };
    let wrong_name = connect_one(&address, &client(named)).expect("way");
    assert!(health(wrong_name).await.is_err());
}

#[tokio::test]
async fn a_server_that_wants_certificates_refuses_those_who_have_none_or_a_strangers() {
    let folder = tempfile::tempdir().expect("folder");
    let authority = Authority::new(folder.path(), "ca");
    let stranger = Authority::new(folder.path(), "stranger");
    let (cert, key) = authority.sign("server", "localhost");
    let server = serve(&TlsFiles {
        cert: Some(cert),
        key: Some(key),
        require_client_cert: true,
        ..trusting(&authority)
    })
    .await;
    let address = format!("https://localhost:{}", server.address.port());
    let with = |signer: &Authority, file: &str| {
        let (cert, key) = signer.sign(file, "worker");
        TlsFiles {
            cert: Some(cert),
            key: Some(key),
            ..trusting(&authority)
        }
    };
    let known = connect_balanced(&address, &client(with(&authority, "known"))).expect("way");
    assert_eq!(health(known).await.expect("answer"), ServingStatus::Serving);
    for files in [trusting(&authority), with(&stranger, "unknown")] {
        let way = connect_one(&address, &client(files)).expect("way");
        assert!(health(way).await.is_err());
    }
}

#[tokio::test]
async fn certificates_that_change_are_taken_up_without_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let old = Authority::new(folder.path(), "old");
    let new = Authority::new(folder.path(), "new");
    let (cert, key) = old.sign("server", "localhost");
    let server = serve(&TlsFiles {
        cert: Some(cert.clone()),
        key: Some(key),
        ..TlsFiles::default()
    })
    .await;
    let address = format!("https://localhost:{}", server.address.port());
    // A file that is no certificate changes nothing.
    std::fs::write(&cert, "nonsense").expect("written");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let way = connect_one(&address, &client(trusting(&old))).expect("way");
    assert_eq!(
        health(way).await.expect("the last good one stays"),
        ServingStatus::Serving
    );
    new.sign("server", "localhost");
    eventually("the new certificate", async || {
        let way = connect_one(&address, &client(trusting(&new))).expect("way");
        health(way).await.is_ok()
    })
    .await;
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().expect("folder");
    let authority = Authority::new(folder.path(), "ca");
    let (cert, key) = authority.sign("one", "localhost");
    let (_, other) = authority.sign("two", "localhost");
    let load =
        |cert: Option<&std::path::Path>, key: Option<&std::path::Path>, ca: Option<&std::path::Path>, required| {
            ServerTls::load(&TlsFiles {
                cert: cert.map(Into::into),
                key: key.map(Into::into),
                ca: ca.map(Into::into),
                require_client_cert: required,
                server_name: None,
            })
            .map(|_| ())
        };
    let (cert, key) = (Some(cert.as_path()), Some(key.as_path()));
    assert!(load(cert, key, None, false).is_ok());
    let missing = folder.path().join("missing");
    let told = load(Some(&missing), key, None, false).expect_err("no file").to_string();
    assert!(told.contains("certificate") && told.contains("missing"), "{told}");
    let told = load(key, key, None, false)
        .expect_err("a key is not a certificate")
        .to_string();
    assert!(told.contains("CERTIFICATE"), "{told}");
    assert!(matches!(
        load(cert, cert, None, false),
        Err(TlsError::File {
            what: "private key",
            ..
        })
    ));
    assert!(matches!(
        load(cert, Some(&other), None, false),
        Err(TlsError::Unfit { .. })
    ));
    assert!(matches!(load(cert, None, None, false), Err(TlsError::Incomplete(_))));
    assert!(matches!(load(None, None, None, false), Err(TlsError::NoIdentity)));
    assert!(matches!(load(cert, key, None, true), Err(TlsError::NoRoots)));
    assert!(matches!(
        load(cert, key, key, true),
        Err(TlsError::File { what: "CA file", .. })
    ));
}
