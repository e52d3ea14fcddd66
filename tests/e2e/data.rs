//! Every kind of task on real input, and the shipped examples.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use nexus_api::execution::v1::{execution, task};
use nexus_tests::{Dev, DevOptions, root};
use serde_json::{Value, json};

/// Serves orders per region, and an address that fails twice before it answers.
async fn api() -> String {
    let tries = Arc::new(AtomicU32::new(0));
    let orders = |Path(region): Path<String>, Query(query): Query<HashMap<String, String>>| async move {
        Json(json!({"day": query.get("day"), "orders": [
            {"id": format!("{region}-1"), "total": 10.5}, {"id": format!("{region}-2"), "total": 0},
            {"id": format!("{region}-3"), "total": 4},
        ]}))
    };
    let flaky = |State(tries): State<Arc<AtomicU32>>| async move {
        if tries.fetch_add(1, Ordering::SeqCst) < 2 {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": "busy"})))
        } else {
            (StatusCode::OK, Json(json!({"status": "fine"})))
        }
    };
    let routes = axum::Router::new()
        .route("/{region}/orders", get(orders))
        .route("/flaky", get(flaky))
        .route(
            "/json",
            get(|| async { Json(json!({"slideshow": {"title": "Sample"}})) }),
        )
        .with_state(tries);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
}

fn example(name: &str) -> String {
    std::fs::read_to_string(root().join("examples").join(name)).expect(name)
}

#[tokio::test]
async fn the_etl_example_loads_the_right_rows() {
    let base = api().await;
    let folder = tempfile::tempdir().expect("folder");
    let database = folder.path().join("warehouse.db");
    let dev = Dev::start_with(DevOptions {
        args: vec!["--no-sample".into()],
        env: vec![(
            "NEXUS_CONNECTION_WAREHOUSE".into(),
            format!("sqlite:{}?mode=rwc", database.display()),
        )],
        folder: None,
    });
    let params = json!({"base_url": base, "day": "2026-11-23"}).to_string();
    let execution = dev.run(&example("etl.yaml"), &params).await;
    assert_eq!(execution.state(), execution::State::Succeeded, "{execution:?}");
    let output: Value = serde_json::from_str(&execution.output).expect("output");
    assert_eq!(output, json!({"loaded": 4, "total": 29}));
    // Running it again loads the same rows, not twice as many.
    let again = dev.run(&example("etl.yaml"), &params).await;
    assert_eq!(again.output, execution.output);
}

#[tokio::test]
async fn the_other_examples_do_what_they_say() {
    let base = api().await;
    let dev = Dev::start();
    let hello = dev.run(&example("hello.yaml"), r#"{"name":"you"}"#).await;
    assert_eq!(hello.output, r#"{"text":"HELLO, YOU!","from":"Linux"}"#);
    let fan = dev.run(&example("fan_out.yaml"), "").await;
    assert_eq!(fan.state(), execution::State::Succeeded, "{fan:?}");
    assert_eq!(fan.output, r#"{"primes":168}"#);
    let flaky = dev
        .run(
            &example("flaky_http.yaml"),
            &json!({"url": format!("{base}/flaky")}).to_string(),
        )
        .await;
    assert_eq!(flaky.state(), execution::State::Succeeded, "{flaky:?}");
    assert_eq!(dev.task(&flaky.id, "fetch").await.attempts, 3);
    for name in ["original/simple.yaml", "original/parallel.yaml"] {
        let execution = dev.run(&example(name), "").await;
        assert_eq!(execution.state(), execution::State::Succeeded, "{name}: {execution:?}");
    }
    let http = dev
        .run(&example("original/http.yaml"), &json!({"base_url": base}).to_string())
        .await;
    assert_eq!(http.state(), execution::State::Succeeded, "{http:?}");
    assert_eq!(http.output, r#"{"title":"Sample"}"#);
}

#[tokio::test]
async fn secrets_reach_tasks_and_nothing_else() {
    let secret = "s3cr3t-Zq9!value";
    let dev = Dev::start_with(DevOptions {
        args: vec!["--no-sample".into()],
        env: vec![("NEXUS_SECRET_TOKEN".into(), secret.into())],
        folder: None,
    });
    let source = r#"
name: secretive
tasks:
  use:
    bash:
      env: {TOKEN: "Bearer {{ secrets.token }}"}
      run: |
        echo "the token is $TOKEN"
        echo "length=${#TOKEN}" >> "$NEXUS_OUTPUT"
        echo "leak=$TOKEN" >> "$NEXUS_OUTPUT"
  fails:
    python:
      args: {token: "{{ secrets.token }}"}
      code: |
        def main(token):
            raise ValueError("bad token " + token)
"#;
    let execution = dev.run(source, "").await;
    let used: Value = serde_json::from_str(&dev.task(&execution.id, "use").await.output).expect("output");
    assert_eq!(
        used["length"].to_string().trim_matches('"'),
        (secret.len() + 7).to_string(),
        "it arrived whole"
    );
    let error = dev.task(&execution.id, "fails").await.error.expect("error");
    assert_eq!(error.r#type, "ValueError");
    let mut dev = dev;
    dev.stop();
    for file in [
        "execution.db",
        "logs.db",
        "definitions.db",
        "execution.db-wal",
        "logs.db-wal",
    ] {
        let path = dev.folder().join(".nexus").join(file);
        let bytes = std::fs::read(&path).unwrap_or_default();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{file} holds the secret");
    }
}

#[tokio::test]
async fn params_are_checked_and_defaults_filled_in() {
    use nexus_api::ErrorReason;
    use nexus_api::error::reason_of;
    use nexus_api::execution::v1::StartExecutionRequest;
    let dev = Dev::start();
    let source = r#"
name: typed
params:
  type: object
  additionalProperties: false
  required: [day]
  properties: {day: {type: string, format: date}, n: {type: integer, default: 7}}
tasks: {a: {noop: {output: ["{{ params.n }}", "{{ params.day }} x"]}}}
output: "{{ tasks.a.output }}"
"#;
    let execution = dev.run(source, r#"{"day":"2026-01-31"}"#).await;
    assert_eq!(execution.output, r#"[7,"2026-01-31 x"]"#);
    assert_eq!(execution.params, r#"{"day":"2026-01-31","n":7}"#);
    for params in [
        "{}",
        r#"{"day":"no"}"#,
        r#"{"day":"2026-01-31","x":1}"#,
        r#"{"day":"2026-01-31","n":"7"}"#,
        "[]",
        "{",
    ] {
        let request = StartExecutionRequest {
            workflow: "typed".into(),
            params: params.into(),
            ..Default::default()
        };
        let status = dev.executions().start_execution(request).await.expect_err(params);
        assert_eq!(
            reason_of(&status),
            Some(ErrorReason::InvalidParams),
            "{params}: {status:?}"
        );
    }
}

#[tokio::test]
async fn big_integers_and_text_survive_every_hop() {
    let dev = Dev::start();
    let source = r#"
name: exact
tasks:
  a: {python: {code: "def main():\n    return {'n': 9007199254740993, 'text': 'ü ✓ {' + '{ params.x }} {' + '% if %}'}\n"}}
  b: {python: {args: {v: "{{ tasks.a.output }}"}, code: "def main(v):\n    return v\n"}}
output: "{{ tasks.b.output }}"
"#;
    let execution = dev.run(source, "").await;
    assert_eq!(execution.state(), execution::State::Succeeded, "{execution:?}");
    let output: Value = serde_json::from_str(&execution.output).expect("output");
    assert_eq!(output["n"].to_string(), "9007199254740993");
    assert_eq!(
        output["text"], "ü ✓ {{ params.x }} {% if %}",
        "data is never a template"
    );
    assert_eq!(dev.task(&execution.id, "b").await.state(), task::State::Succeeded);
}

const KEPT: &str = r#"
name: kept
params: {type: object, properties: {day: {type: string}}}
tasks:
  made:
    cache: {ttl: 1h}
    bash:
      env: {DAY: "{{ params.day }}"}
      run: 'echo "word=$DAY-$RANDOM-$$" >> "$NEXUS_OUTPUT"'
  after: {noop: {output: "{{ tasks.made.output.word }}"}}
output: "{{ tasks.after.output }}"
"#;

#[tokio::test]
async fn a_task_with_the_same_input_is_given_the_output_that_was_kept() {
    let dev = Dev::start();
    let monday = json!({"day": "monday"}).to_string();
    let first = dev.run(KEPT, &monday).await;
    assert_eq!(dev.task(&first.id, "made").await.state(), task::State::Succeeded);
    // It is kept in a moment; until then the task runs, and what it gives is kept instead.
    let mut outputs = vec![first.output.clone()];
    let second = loop {
        let second = dev.run(KEPT, &monday).await;
        assert_eq!(second.state(), execution::State::Succeeded);
        if dev.task(&second.id, "made").await.state() == task::State::Cached {
            break second;
        }
        outputs.push(second.output);
        assert!(outputs.len() < 50, "nothing is ever kept");
    };
    assert!(
        outputs.contains(&second.output),
        "{} was made by none of {outputs:?}",
        second.output
    );
    let other = dev.run(KEPT, &json!({"day": "tuesday"}).to_string()).await;
    assert_ne!(other.output, first.output);
    assert_eq!(dev.task(&other.id, "made").await.state(), task::State::Succeeded);
    let changed = KEPT.replace("word=", "word=x");
    let changed = dev.run(&changed, &monday).await;
    assert_eq!(
        dev.task(&changed.id, "made").await.state(),
        task::State::Succeeded,
        "another script"
    );
}
