//! Mistakes of a deployment are found and named: on `/readyz`, in the log, in metrics, or as the reason why a process ends.

mod common;

use std::time::Duration;

use common::{apply, connect, run};
use nexus_api::worker::v1::RegisterWorkerRequest;
use nexus_api::worker::v1::worker_service_client::WorkerServiceClient;
use nexus_fleet::{Mesh, Node, Role, Shape};
use sqlx::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

const PAUSE: Duration = Duration::from_millis(50);
/// What takes no round of the slowest watcher has to be there by then, on a loaded machine too.
const SOON: Duration = Duration::from_secs(30);

const FILE: &str = "
name: hello
tasks:
  a: {bash: {run: 'true'}}
";

fn small() -> Shape {
    Shape {
        definitions: 1,
        execution: 1,
        workers: 0,
        environment: vec![("NEXUS_DRAIN__NOTICE".into(), "100ms".into())],
        ..Shape::default()
    }
}

/// What a node's page says; nothing while it cannot be had.
async fn page(node: &Node, path: &str) -> String {
    let metrics = node.metrics();
    let host = metrics
        .trim_start_matches("http://")
        .trim_end_matches("/metrics")
        .to_owned();
    let ask = async {
        let mut stream = TcpStream::connect(&host).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<String, std::io::Error>(answer)
    };
    timeout(Duration::from_secs(2), ask)
        .await
        .map(Result::unwrap_or_default)
        .unwrap_or_default()
}

/// Waits until a page has all of some words; what it says then.
async fn says(node: &Node, path: &str, words: &[&str], limit: Duration) -> String {
    let begun = Instant::now();
    loop {
        let said = page(node, path).await;
        if words.iter().all(|word| said.contains(word)) {
            return said;
        }
        assert!(
            begun.elapsed() < limit,
            "{} does not say {words:?} on {path} but {said}; its log: {}",
            node.name(),
            node.said()
        );
        sleep(PAUSE).await;
    }
}

/// Waits until a node is not ready and says why with some words.
async fn refuses(node: &Node, words: &[&str], limit: Duration) {
    let said = says(node, "/readyz", words, limit).await;
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
}

/// Waits until the log has a line with all of some words.
async fn logs(node: &Node, words: &[&str], limit: Duration) {
    let begun = Instant::now();
    let has = |line: &str| words.iter().all(|word| line.contains(word));
    while !node.said().lines().any(has) {
        assert!(begun.elapsed() < limit, "no line with {words:?} in {}", node.said());
        sleep(PAUSE).await;
    }
    // An error without a word helps nobody.
    assert!(!node.said().contains(r#""error":"""#), "{}", node.said());
}

/// Starts a node that has to end by itself, with a failure; what it wrote.
async fn ends(node: &mut Node, limit: Duration) -> String {
    node.start("").expect("start");
    let begun = Instant::now();
    loop {
        if let Some(status) = node.ended() {
            assert_eq!(status.code(), Some(1), "{}", node.said());
            return node.said();
        }
        assert!(begun.elapsed() < limit, "{} does not end: {}", node.name(), node.said());
        sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_yet_is_waited_for_and_named() {
    let mut mesh = Mesh::prepare(small()).await.expect("mesh");
    let place = format!("127.0.0.1:{}", mesh.postgres().port());
    mesh.postgres().stop();
    for role in [Role::Definitions, Role::Execution] {
        mesh.node(role, 0).start("").expect("start");
    }
    for role in [Role::Definitions, Role::Execution] {
        let node = mesh.node(role, 0);
        refuses(node, &[&place, "database.url", "refused"], SOON).await;
        logs(node, &["WARN", &place, "refused", "trying again"], SOON).await;
    }
    // One that waits ends when it is asked to.
    let stopped = mesh.node(Role::Execution, 0).stop().await.expect("end");
    assert_eq!(stopped.code, Some(0));
    assert!(stopped.took < Duration::from_secs(5), "{stopped:?}");
    mesh.node(Role::Execution, 0).start("").expect("start");
    refuses(mesh.node(Role::Execution, 0), &[&place], SOON).await;
    mesh.postgres().resume().expect("resume");
    mesh.ready().await.expect("ready");
    mesh.stop().await.expect("stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_written_at_the_start_is_waited_for_and_named() {
    let mut mesh = Mesh::prepare(small()).await.expect("mesh");
    // The schemas are there: a replica that starts again during an outage finds nothing to migrate.
    mesh.node(Role::Execution, 0).start("").expect("start");
    mesh.node(Role::Definitions, 0).start("").expect("start");
    mesh.ready().await.expect("ready");
    let stopped = mesh.node(Role::Execution, 0).stop().await.expect("end");
    assert_eq!(stopped.code, Some(0));
    let mut admin = sqlx::PgConnection::connect(mesh.database()).await.expect("connect");
    for (setting, is_ready) in [("on", false), ("off", true)] {
        let statement = format!("ALTER SYSTEM SET default_transaction_read_only = {setting}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut admin)
            .await
            .expect("set");
        sqlx::raw_sql("SELECT pg_reload_conf()")
            .execute(&mut admin)
            .await
            .expect("reload");
        if is_ready {
            mesh.ready().await.expect("ready");
        } else {
            sleep(PAUSE).await;
            mesh.node(Role::Execution, 0).start("").expect("start");
            refuses(
                mesh.node(Role::Execution, 0),
                &["database.url", "cannot be written"],
                SOON,
            )
            .await;
        }
    }
    mesh.stop().await.expect("stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_can_never_be_used_ends_the_process_with_advice() {
    let mut mesh = Mesh::prepare(small()).await.expect("mesh");
    let database = mesh.database().to_owned();
    let port = mesh.postgres().port();
    let place = format!("127.0.0.1:{port}");
    let empty = mesh.postgres().create_database("empty").await.expect("database");
    let away = format!("{}nowhere", database.trim_end_matches("nexus"));
    let mysql = database.replace("postgres://", "mysql://");
    for role in [Role::Definitions, Role::Execution] {
        for (url, words) in [
            (&mysql, ["NEXUS_DATABASE__URL", "database.url", "postgres://"]),
            (&empty, [role.name(), &place, "nexus migrate"]),
            (&away, [role.name(), &place, "create the database"]),
        ] {
            mesh.node(role, 0).set("NEXUS_DATABASE__URL", url);
            let said = ends(mesh.node(role, 0), SOON).await;
            assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        }
    }
    // From now on passwords are asked for.
    let rules = mesh.postgres().socket().join("data/pg_hba.conf");
    let mut wanted = "host all stranger 127.0.0.1/32 scram-sha-256\n".to_owned();
    wanted.push_str(&std::fs::read_to_string(&rules).expect("rules"));
    std::fs::write(&rules, wanted).expect("rules");
    mesh.postgres().stop();
    mesh.postgres().resume().expect("resume");
    let wrong = format!("postgres://stranger:hunter2@{place}/nexus");
    for role in [Role::Definitions, Role::Execution] {
        mesh.node(role, 0).set("NEXUS_DATABASE__URL", &wrong);
        let said = ends(mesh.node(role, 0), SOON).await;
        let words = [
            role.name(),
            "database.url",
            &place,
            "28P01",
            "check the user and the password",
        ];
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_meshes_with_one_namespace_the_second_waits_until_the_first_has_ended() {
    let mut first = Mesh::start(small()).await.expect("mesh");
    let mut second = Mesh::prepare(small()).await.expect("mesh");
    let redis = first.redis().url();
    second.node(Role::Execution, 0).set("NEXUS_REDIS__URL", &redis);
    for node in second.nodes() {
        node.start("").expect("start");
    }
    let node = second.node(Role::Execution, 0);
    let words = ["another mesh", "its database is", "redis.namespace"];
    refuses(node, &words, SOON).await;
    logs(node, &["ERROR", "redis.namespace"], SOON).await;
    says(node, "/metrics", &["nexus_redis_namespace_clash 1"], SOON).await;
    assert!(first.node(Role::Execution, 0).is_ready().await);
    first.stop().await.expect("stop");
    let node = second.node(Role::Execution, 0);
    node.ready().await.expect("ready");
    says(node, "/metrics", &["nexus_redis_namespace_clash 0"], SOON).await;
    second.stop().await.expect("stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_wiped_makes_nobody_a_stranger_to_itself() {
    let shape = Shape {
        execution: 2,
        workers: 1,
        ..small()
    };
    let mut mesh = Mesh::start(shape).await.expect("mesh");
    apply(&mesh, FILE).await;
    let way = connect(&mesh.execution());
    let begun = Instant::now();
    // Longer than a round of the mark.
    while begun.elapsed() < Duration::from_secs(12) {
        mesh.redis().say("FLUSHALL").expect("answer");
        let ended = run(&way, "hello").await;
        assert_eq!(ended.task_counts["SUCCEEDED"], 1, "{ended:?}");
        for number in 0..2 {
            assert!(mesh.node(Role::Execution, number).is_ready().await);
        }
        sleep(Duration::from_millis(500)).await;
    }
    mesh.stop().await.expect("stop");
    assert!(!mesh.node(Role::Execution, 0).said().contains("another mesh"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_advertise_one_address_are_named() {
    let shape = Shape {
        execution: 2,
        ..small()
    };
    let mut mesh = Mesh::prepare(shape).await.expect("mesh");
    mesh.node(Role::Definitions, 0).start("").expect("start");
    mesh.node(Role::Execution, 0).start("").expect("start");
    mesh.ready().await.expect("ready");
    let taken = mesh.node(Role::Execution, 0).address();
    let node = mesh.node(Role::Execution, 1);
    node.set("NEXUS_ADVERTISE", &taken);
    node.start("").expect("start");
    refuses(node, &[&taken, "another one answers", "`advertise`"], SOON).await;
    logs(node, &["WARN", &taken, "`advertise`"], SOON).await;
    // Nothing is ready before it is mended, and soon after.
    assert!(!node.is_ready().await);
    node.stop().await.expect("stop");
    let own = node.address();
    node.set("NEXUS_ADVERTISE", &own);
    node.start("").expect("start");
    node.ready().await.expect("ready");
    mesh.ready().await.expect("ready");
    // Who is killed and comes back at once meets its former membership at its own address.
    let node = mesh.node(Role::Execution, 1);
    node.kill().expect("kill");
    node.start("").expect("start");
    let took = node.ready().await.expect("ready");
    assert!(took < Duration::from_secs(10), "{took:?}");
    mesh.stop().await.expect("stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_address_that_leads_nowhere_is_named() {
    let mut mesh = Mesh::prepare(small()).await.expect("mesh");
    let node = mesh.node(Role::Execution, 0);
    node.set("NEXUS_ADVERTISE", "http://127.0.0.1:1");
    for node in mesh.nodes() {
        node.start("").expect("start");
    }
    let node = mesh.node(Role::Execution, 0);
    let words = ["http://127.0.0.1:1", "does not lead to it", "refused", "`advertise`"];
    refuses(node, &words, SOON).await;
    logs(
        node,
        &["WARN", "http://127.0.0.1:1", "does not lead to it", "refused"],
        SOON,
    )
    .await;
    assert!(!node.is_ready().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_cannot_be_reached_are_named_before_and_after_the_start() {
    let mut mesh = Mesh::prepare(small()).await.expect("mesh");
    let place = mesh.node(Role::Definitions, 0).address();
    let node = mesh.node(Role::Execution, 0);
    node.start("").expect("start");
    refuses(node, &["definitions", &place, "refused"], SOON).await;
    logs(node, &["WARN", "definitions", &place, "refused"], SOON).await;
    says(
        node,
        "/metrics",
        &["nexus_dependency_up{dependency=\"definitions\"} 0"],
        SOON,
    )
    .await;
    mesh.node(Role::Definitions, 0).start("").expect("start");
    mesh.ready().await.expect("ready");
    let up = "nexus_dependency_up{dependency=\"definitions\"} 1";
    says(mesh.node(Role::Execution, 0), "/metrics", &[up], SOON).await;
    mesh.node(Role::Definitions, 0).kill().expect("kill");
    let node = mesh.node(Role::Execution, 0);
    let said = says(node, "/readyz", &["ready, but definitions at", &place], SOON).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    says(
        node,
        "/metrics",
        &["nexus_dependency_up{dependency=\"definitions\"} 0"],
        SOON,
    )
    .await;
    logs(node, &["WARN", "something is wrong", &place], SOON).await;
    mesh.node(Role::Definitions, 0).start("").expect("start");
    let node = mesh.node(Role::Execution, 0);
    says(node, "/metrics", &[up], SOON).await;
    says(node, "/readyz", &["\"execution\":\"ready\""], SOON).await;
    mesh.stop().await.expect("stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_something_else_is_named_with_the_doubt() {
    let mut mesh = Mesh::prepare(small()).await.expect("mesh");
    mesh.node(Role::Definitions, 0).start("").expect("start");
    mesh.ready().await.expect("ready");
    let page = mesh.node(Role::Definitions, 0).metrics();
    let page = page
        .trim_start_matches("http://")
        .trim_end_matches("/metrics")
        .to_owned();
    let postgres = format!("127.0.0.1:{}", mesh.postgres().port());
    for place in [page, postgres] {
        let node = mesh.node(Role::Execution, 0);
        node.set("NEXUS_REDIS__URL", &format!("redis://:hunter2@{place}/0"));
        node.start("").expect("start");
        logs(
            node,
            &["WARN", &format!("Redis at {place}: "), "does it speak Redis"],
            SOON,
        )
        .await;
        assert!(!node.said().contains("hunter2"), "{}", node.said());
        // It does without, as while Redis is away.
        node.ready().await.expect("ready");
        node.stop().await.expect("stop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_server_cannot_be_reached_says_where_and_why() {
    let shape = Shape { workers: 1, ..small() };
    let mut mesh = Mesh::prepare(shape).await.expect("mesh");
    let place = format!("127.0.0.1:{}", mesh.node(Role::Execution, 0).port());
    let node = mesh.node(Role::Worker, 0);
    node.start("").expect("start");
    logs(
        node,
        &["WARN", "the worker cannot reach its server", &place, "refused"],
        SOON,
    )
    .await;
}

/// Connections from an address of the loopback that say nothing.
async fn silent(from: &str, port: u16, number: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..number {
        let socket = TcpSocket::new_v4().expect("socket");
        socket
            .bind(format!("{from}:0").parse().expect("address"))
            .expect("bind");
        let to = format!("127.0.0.1:{port}").parse().expect("address");
        open.push(socket.connect(to).await.expect("connect"));
    }
    open
}

/// Whether the other end has closed a connection within a time.
async fn is_closed(stream: &mut TcpStream, within: Duration) -> bool {
    let closed = async {
        let mut bytes = [0; 256];
        // A server of HTTP/2 speaks first.
        while !matches!(stream.read(&mut bytes).await, Ok(0) | Err(_)) {}
    };
    timeout(within, closed).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_keep_nobody_out_for_long() {
    let mut shape = small();
    shape.workers = 1;
    shape.environment.extend([
        ("NEXUS_LIMITS__MAX_CONNECTIONS".into(), "200".into()),
        ("NEXUS_LIMITS__MAX_CONNECTIONS_PER_PEER".into(), "150".into()),
    ]);
    let mut mesh = Mesh::start(shape).await.expect("mesh");
    apply(&mesh, FILE).await;
    let (known, port) = (connect(&mesh.execution()), mesh.node(Role::Execution, 0).port());
    assert_eq!(run(&known, "hello").await.task_counts["SUCCEEDED"], 1);
    // One peer cannot take all places: most are refused at once, and others are served.
    let mut open = silent("127.0.0.2", port, 300).await;
    let node = mesh.node(Role::Execution, 0);
    says(
        node,
        "/metrics",
        &["nexus_connections_refused_total{reason=\"peer_limit\"} 150"],
        SOON,
    )
    .await;
    let stranger = connect(&mesh.execution());
    assert_eq!(run(&stranger, "hello").await.task_counts["SUCCEEDED"], 1);
    // Two of them can, until their time is over; who is connected does not notice.
    open.extend(silent("127.0.0.3", port, 300).await);
    let node = mesh.node(Role::Execution, 0);
    says(node, "/metrics", &["reason=\"limit\""], SOON).await;
    assert_eq!(run(&known, "hello").await.task_counts["SUCCEEDED"], 1);
    let begun = Instant::now();
    for stream in &mut open {
        let left = SOON.saturating_sub(begun.elapsed());
        assert!(
            is_closed(stream, left).await,
            "a connection that says nothing is still open"
        );
    }
    says(mesh.node(Role::Execution, 0), "/metrics", &["reason=\"silent\""], SOON).await;
    let late = connect(&mesh.execution());
    assert_eq!(run(&late, "hello").await.task_counts["SUCCEEDED"], 1);
    mesh.stop().await.expect("stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_nobody_uses_keep_no_worker_out() {
    let mut mesh = Mesh::start(small()).await.expect("mesh");
    apply(&mesh, FILE).await;
    let way = connect(&mesh.execution());
    let register = |name: String| RegisterWorkerRequest {
        name,
        queues: vec!["nobody".into()],
        slots: 1,
        ..RegisterWorkerRequest::default()
    };
    let calls = (0..40).map(|part| {
        let mut client = WorkerServiceClient::new(way.clone());
        tokio::spawn(async move {
            let mut refused = 0;
            for number in 0..300 {
                refused += usize::from(
                    client
                        .register_worker(register(format!("{part}-{number}")))
                        .await
                        .is_err(),
                );
            }
            refused
        })
    });
    let mut refused = 0;
    for call in calls.collect::<Vec<_>>() {
        refused += call.await.expect("calls");
    }
    // Whether they are refused or make room for each other, an honest one comes in and works.
    let number = mesh.add(Role::Worker).await.expect("node");
    let node = mesh.node(Role::Worker, number);
    node.start("").expect("start");
    node.ready()
        .await
        .unwrap_or_else(|error| panic!("{refused} were refused, and so is the honest one: {error}"));
    assert_eq!(run(&way, "hello").await.task_counts["SUCCEEDED"], 1);
    mesh.stop().await.expect("stop");
}
