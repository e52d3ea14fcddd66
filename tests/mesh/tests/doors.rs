//! A mesh whose doors ask for credentials: the first administrator comes in by the token of the log, work runs through
//! processes that know each other by their keys, each service's own port gives nothing away, and what is ended is worth
//! nothing within a minute, also while the access service is away.

mod common;

use std::time::{Duration, Instant};

use common::connect;
use nexus_api::execution::v1::ListExecutionsRequest;
use nexus_api::execution::v1::execution_service_client::ExecutionServiceClient;
use nexus_fleet::{Mesh, Role, Shape};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tonic::{Code, Request};

const SERVICE_KEY: &str = "the-key-of-services-0123456789abcdef";
const WORKER_KEY: &str = "the-key-of-workers-0123456789abcdef0";
const FILE: &str = "name: hello\ntasks:\n  a: {bash: {run: 'true'}}\n";
/// How long what is revoked may be of use, with some time for the calls.
const REVOKED: Duration = Duration::from_secs(65);

/// Asks over HTTP/1.0; gives the status and the body.
async fn ask(address: &str, verb: &str, path: &str, token: &str, body: &str) -> (u16, String) {
    let authority = address.trim_start_matches("http://");
    let media_type = if body.starts_with('{') {
        "application/json"
    } else {
        "application/yaml"
    };
    let credential = match token {
        "" => String::new(),
        token => format!("authorization: Bearer {token}\r\n"),
    };
    let head = format!(
        "{verb} {path} HTTP/1.0\r\nhost: {authority}\r\n{credential}content-type: {media_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut text = String::new();
    let call = async {
        let mut socket = TcpStream::connect(authority).await?;
        socket.write_all(head.as_bytes()).await?;
        socket.read_to_string(&mut text).await
    };
    timeout(Duration::from_secs(60), call)
        .await
        .expect("in time")
        .expect("an answer");
    let status = text
        .get(9..12)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status, body.unwrap_or_default())
}

/// The text of a member of a JSON object, without reading the rest.
fn member(json: &str, name: &str) -> String {
    let (_, rest) = json
        .split_once(&format!("\"{name}\":\""))
        .unwrap_or_else(|| panic!("{name}: {json}"));
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// A mesh with doors, and the token by which somebody becomes its administrator.
async fn guarded() -> (Mesh, String) {
    let shape = Shape {
        definitions: 1,
        execution: 2,
        workers: 1,
        environment: vec![("NEXUS_AUTH__MODE".into(), "required".into())],
        ..Shape::default()
    };
    let mut mesh = Mesh::prepare(shape).await.expect("mesh");
    mesh.add(Role::Access).await.expect("access");
    mesh.add(Role::Gateway).await.expect("a gateway");
    let access = mesh.node(Role::Access, 0).address();
    for node in mesh.nodes() {
        node.set("NEXUS_AUTH__WORKER_KEY", WORKER_KEY);
        if node.role() != Role::Worker {
            node.set("NEXUS_AUTH__SERVICE_KEY", SERVICE_KEY);
            node.set("NEXUS_ACCESS__ADDRESS", &access);
        }
        node.start("").expect("start");
    }
    mesh.ready().await.expect("ready");
    let said = mesh.node(Role::Access, 0).said();
    let claim = member(&said, "claim_token");
    (mesh, claim)
}

/// What the execution service's own port says to a credential.
async fn at_the_service(mesh: &mut Mesh, token: &str) -> Code {
    let address = mesh.node(Role::Execution, 0).address();
    let mut request = Request::new(ListExecutionsRequest::default());
    if !token.is_empty() {
        let value = format!("Bearer {token}").parse().expect("a credential");
        request.metadata_mut().insert("authorization", value);
    }
    let listed = ExecutionServiceClient::new(connect(&address))
        .list_executions(request)
        .await;
    listed.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_asked_for_at_every_door_and_what_is_ended_is_worth_nothing_soon() {
    let (mut mesh, claim) = guarded().await;
    let gateway = mesh.node(Role::Gateway, 0).address();
    let password = "correct horse battery staple";
    let body = format!(r#"{{"claim_token": "{claim}", "user": "anna", "password": "{password}"}}"#);
    let (status, answer) = ask(&gateway, "POST", "/api/v1/login/claim", "", &body).await;
    assert_eq!(status, 200, "{answer}");
    let token = member(&answer, "token");
    assert_eq!(
        ask(&gateway, "POST", "/api/v1/login/claim", "", &body).await.0,
        401,
        "it works once"
    );

    // Work runs: the worker with its own key, the services with theirs, the replicas with each other.
    assert_eq!(ask(&gateway, "POST", "/api/v1/workflows", "", FILE).await.0, 401);
    let (status, answer) = ask(&gateway, "POST", "/api/v1/workflows", &token, FILE).await;
    assert_eq!(status, 200, "{answer}");
    for _ in 0..4 {
        let path = "/api/v1/workflows/hello/trigger?wait=30s";
        let (status, answer) = ask(&gateway, "POST", path, &token, "{}").await;
        assert_eq!(
            (status, member(&answer, "state").as_str()),
            (200, "SUCCEEDED"),
            "{answer}"
        );
    }

    // A service's own port is no way round.
    assert_eq!(at_the_service(&mut mesh, "").await, Code::Unauthenticated);
    assert_eq!(at_the_service(&mut mesh, "nxs_made_up").await, Code::Unauthenticated);
    assert_eq!(at_the_service(&mut mesh, &token).await, Code::Ok);

    // Who was known a moment ago is let in while nobody can be asked.
    mesh.node(Role::Access, 0).kill().expect("killed");
    assert_eq!(at_the_service(&mut mesh, &token).await, Code::Ok);
    assert_eq!(at_the_service(&mut mesh, "nxs_somebody_else").await, Code::Unavailable);
    mesh.node(Role::Access, 0).start("").expect("start");
    mesh.ready().await.expect("ready");

    // Logging out at one door closes the others.
    assert_eq!(ask(&gateway, "POST", "/api/v1/logout", &token, "{}").await.0, 200);
    let since = Instant::now();
    while at_the_service(&mut mesh, &token).await == Code::Ok {
        assert!(since.elapsed() < REVOKED, "it is still let in");
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(ask(&gateway, "GET", "/api/v1/executions", &token, "").await.0, 401);
}
