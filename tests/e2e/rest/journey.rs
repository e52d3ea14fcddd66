//! What a newcomer does: define, trigger, watch, find a failure, cancel.

use http_body_util::BodyExt;
use nexus_tests::Dev;
use nexus_tests::http::{Version, request, send};

const YAML: [(&str, &str); 1] = [("content-type", "application/yaml")];

const FLAKY: &str = "\
name: flaky
params: {type: object, properties: {good: {type: boolean, default: true}}}
tasks:
  fetch: {bash: {run: 'echo fetched; echo rows=7 >> \"$NEXUS_OUTPUT\"'}}
  check:
    needs: [fetch]
    bash: {env: {GOOD: '{{ params.good }}'}, run: 'echo \"good is $GOOD\"; [ \"$GOOD\" = true ] || { echo bad rows >&2; exit 3; }'}
output: {rows: '{{ tasks.fetch.output.rows }}'}
";

#[tokio::test]
async fn a_newcomer_defines_triggers_watches_finds_a_failure_and_cancels() {
    let dev = Dev::start();
    let created = dev.ask("POST", "/api/v1/workflows", &YAML, FLAKY).await;
    assert_eq!(created.status, 200, "{}", created.text);
    assert_eq!(created.json()["name"], "flaky");

    let good = dev.post("/api/v1/workflows/flaky/trigger?wait=30s", "{}").await;
    assert_eq!(good.status, 200, "{}", good.text);
    let good = good.json();
    assert_eq!(
        (&good["state"], &good["output"]["rows"]),
        (&"SUCCEEDED".into(), &"7".into()),
        "{good}"
    );

    let bad = dev
        .post("/api/v1/workflows/flaky/trigger", r#"{"params": {"good": false}}"#)
        .await;
    assert_eq!(bad.status, 202, "{}", bad.text);
    let place = bad.header("location").expect("where to look").to_owned();
    assert_eq!(
        place,
        format!("/api/v1/executions/{}", bad.json()["id"].as_str().expect("id"))
    );

    let watched = dev.get(&format!("{place}/watch")).await;
    assert_eq!(watched.header("content-type"), Some("text/event-stream"));
    let events: Vec<&str> = watched.text.split("\n\n").filter(|event| !event.is_empty()).collect();
    assert!(
        events[0].starts_with("id: 1\ndata: {\"sequence\":\"1\","),
        "{}",
        events[0]
    );
    assert_eq!(events.last(), Some(&"event: end\ndata: {}"));
    let last = events[events.len() - 2];
    assert!(last.contains("EXECUTION_FINISHED") && last.contains("FAILED"), "{last}");

    let tasks = dev.get(&format!("{place}/tasks")).await.json();
    let failed = tasks["tasks"]
        .as_array()
        .expect("tasks")
        .iter()
        .find(|task| task["state"] == "FAILED")
        .expect("one");
    assert_eq!(failed["id"], "check");
    assert_eq!(failed["error"]["details"]["exit_code"], 3);
    let logs = dev
        .ask(
            "GET",
            &format!("{place}/logs/tail?task=check"),
            &[("accept", "application/x-ndjson")],
            "",
        )
        .await;
    let texts: Vec<String> = logs
        .text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line is JSON")["text"].to_string())
        .collect();
    assert!(
        texts.contains(&"\"good is false\"".to_owned()) && texts.contains(&"\"bad rows\"".to_owned()),
        "{texts:?}"
    );

    let statistics = dev.get("/api/v1/statistics/workflows/").await.json();
    let flaky = &statistics["workflows"][0];
    assert_eq!(
        (&flaky["workflow"], &flaky["executions"], &flaky["finished"]),
        (&"flaky".into(), &2.into(), &2.into())
    );
    assert_eq!(flaky["state_counts"], serde_json::json!({"FAILED": 1, "SUCCEEDED": 1}));
    assert!(flaky["mean_seconds"].as_f64().expect("seconds") > 0.0, "{flaky}");
    assert_eq!(
        (&statistics["executions"], &statistics["complete"]),
        (&2.into(), &true.into())
    );

    cancel(&dev).await;
}

async fn cancel(dev: &Dev) {
    let slow = "name: slow\ntasks:\n  wait: {bash: {run: 'sleep 60'}}\n";
    assert_eq!(dev.ask("POST", "/api/v1/workflows/", &YAML, slow).await.status, 200);
    let begun = dev.post("/api/v1/workflows/slow/trigger/?wait=200ms", "{}").await;
    assert_eq!(begun.status, 202, "its end has not come: {}", begun.text);
    let place = begun.header("location").expect("where to look").to_owned();
    let cancelled = dev.post(&format!("{place}/cancel/"), r#"{"reason": "enough"}"#).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    let ended = dev.get(&format!("{place}/wait?timeout=30s")).await.json();
    assert_eq!(
        (&ended["done"], &ended["execution"]["state"]),
        (&true.into(), &"CANCELLED".into()),
        "{ended}"
    );
    assert_eq!(ended["execution"]["cancel_reason"], "enough");
}

#[tokio::test]
async fn a_stream_goes_on_after_what_its_reader_has_seen_and_while_things_happen() {
    let dev = Dev::start();
    let id = dev
        .launch("name: two\ntasks:\n  a: {bash: {run: 'sleep 1'}}\n", "{}")
        .await;
    let watch = format!("/api/v1/executions/{id}/watch");
    let request = request(dev.address(), "GET", &watch, &[("accept", "text/event-stream")], "");
    let mut stream = send(dev.address(), Version::One, request).await.into_body();
    let first = stream
        .frame()
        .await
        .expect("a frame")
        .expect("good")
        .into_data()
        .expect("data");
    assert!(first.starts_with(b"id: 1\n"), "told before the end");
    drop(stream);
    dev.wait(&id).await;
    let all = dev.get(&watch).await.text;
    let resumed = dev
        .ask(
            "GET",
            &format!("{watch}?after_sequence=1"),
            &[("last-event-id", "2")],
            "",
        )
        .await
        .text;
    let after_two = all.find("id: 3\n").expect("a third event");
    assert_eq!(resumed, all[after_two..]);
}

#[tokio::test]
async fn the_examples_of_the_description_are_good_requests() {
    let dev = Dev::start();
    let description = dev.get("/openapi.json").await;
    assert_eq!(description.status, 200);
    let description = description.json();
    let mut sent = Vec::new();
    for (path, verbs) in description["paths"].as_object().expect("paths") {
        for (verb, operation) in verbs.as_object().expect("verbs") {
            let Some(forms) = operation["requestBody"]["content"].as_object() else {
                continue;
            };
            for (media_type, form) in forms {
                if let Some(value) = form.get("examples").map(|examples| &examples["usual"]["value"]) {
                    let body = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    let path = path.replace("{workflow}", "greeting");
                    sent.push((
                        operation["operationId"].to_string(),
                        verb.to_uppercase(),
                        path,
                        media_type.clone(),
                        body,
                    ));
                }
            }
        }
    }
    // What others need comes first.
    sent.sort_by_key(|(name, ..)| !name.contains("CreateWorkflow"));
    assert!(sent.len() >= 7, "{sent:?}");
    let mut execution = String::new();
    for (name, verb, path, media_type, body) in sent.into_iter().filter(|(name, ..)| !name.contains("Cancel")) {
        let answer = dev.ask(&verb, &path, &[("content-type", &media_type)], &body).await;
        assert!(
            matches!(answer.status, 200 | 202),
            "{name} {verb} {path}: {}",
            answer.text
        );
        if name.contains("StartExecution") {
            execution = answer.json()["id"].as_str().expect("id").to_owned();
        }
    }
    let cancel = dev
        .post(
            &format!("/api/v1/executions/{execution}/cancel"),
            r#"{"reason": "no longer needed"}"#,
        )
        .await;
    assert_eq!(cancel.status, 200, "{}", cancel.text);
}

/// What a command prints, and its exit code.
fn command(dev: &Dev, arguments: &[&str]) -> (i32, String, String) {
    let mut command = std::process::Command::new(nexus_tests::binary());
    let ended = command
        .args(["--address", dev.address()])
        .args(arguments)
        .current_dir(dev.folder())
        .output();
    let ended = ended.expect("nexus");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        ended.status.code().expect("an exit code"),
        text(ended.stdout),
        text(ended.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_the_same_calls() {
    let dev = Dev::start();
    std::fs::write(dev.folder().join("flaky.yaml"), FLAKY).expect("written");
    let yaml = "content-type: application/yaml";
    let (code, _, told) = command(
        &dev,
        &["api", "POST", "/api/v1/workflows", "-d", "@flaky.yaml", "-H", yaml],
    );
    assert_eq!(code, 0, "{told}");
    let trigger = [
        "api",
        "post",
        "/api/v1/workflows/flaky/trigger?wait=30s",
        "-d",
        "{\"params\": {\"good\": true}}",
        "-i",
    ];
    let (code, answer, told) = command(&dev, &trigger);
    assert_eq!(code, 0, "{told}");
    assert!(told.starts_with("200 OK\n"), "{told}");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("json");
    assert_eq!(answer["state"], "SUCCEEDED");
    let watch = format!("api/v1/executions/{}/watch", answer["id"].as_str().expect("id"));
    let (_, lines, _) = command(&dev, &["api", "GET", &watch, "-H", "accept: application/x-ndjson"]);
    assert_eq!(
        dev.ask("GET", &format!("/{watch}"), &[("accept", "application/x-ndjson")], "")
            .await
            .text,
        lines
    );
    let (code, answer, told) = command(
        &dev,
        &["--namespace", "team-a", "api", "GET", "/api/v1/workflows/flaky"],
    );
    assert_eq!((code, answer.as_str()), (1, ""));
    assert!(told.contains("WORKFLOW_NOT_FOUND"), "{told}");
    let (code, _, told) = command(
        &dev,
        &["api", "POST", "/api/v1/workflows", "-d", "{\"source\": \"name: x\"}"],
    );
    assert_eq!(code, 8, "{told}");
}
