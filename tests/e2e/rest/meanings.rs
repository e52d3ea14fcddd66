//! What every call has in common: names, payloads, problems, entity tags, keys, pages, namespaces.

use nexus_tests::Dev;
use serde_json::{Value, json};

const YAML: (&str, &str) = ("content-type", "application/yaml");
const ECHO: &str = "\
name: echo
tasks:
  say: {noop: {output: '{{ params }}'}}
output: '{{ params }}'
";

#[tokio::test]
async fn payloads_keep_the_order_of_their_keys_and_their_whole_numbers() {
    let dev = Dev::start();
    dev.apply(ECHO).await.expect("apply");
    let params = r#"{"z":1,"a":18446744073709551615,"m":{"y":[1.5,null,"\u00e9"],"b":""}}"#;
    let done = dev
        .post(
            "/api/v1/workflows/echo/trigger?wait=30s",
            &format!("{{\"params\":{params}}}"),
        )
        .await;
    let plain = params.replace("\\u00e9", "é");
    assert!(done.text.contains(&format!("\"params\":{plain}")), "{}", done.text);
    assert!(done.text.contains(&format!("\"output\":{plain}")), "{}", done.text);
}

#[tokio::test]
async fn a_file_with_errors_is_told_line_by_line() {
    let dev = Dev::start();
    let file =
        "name: broken\ntasks:\n  load:\n    needs: [extrac]\n    bash: {run: echo}\n  extract: {bash: {run: echo}}\n";
    let refused = dev.ask("POST", "/api/v1/workflows", &[YAML], file).await;
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (400, Some("application/problem+json"))
    );
    let problem = refused.json();
    assert_eq!(problem["type"], "urn:nexus:reason:INVALID_WORKFLOW");
    assert_eq!(problem["instance"], "/api/v1/workflows");
    let first = &problem["errors"][0];
    assert_eq!(
        (&first["code"], &first["line"], &first["field"]),
        (&json!("NX1203"), &json!(4), &json!("/tasks/load/needs/0")),
        "{problem}"
    );
    assert!(first["help"].as_str().expect("help").contains("extract"), "{problem}");
    let checked = dev.ask("POST", "/api/v1/dag/validate", &[YAML], file).await;
    assert_eq!((checked.status, &checked.json()["valid"]), (200, &json!(false)));
    assert_eq!(checked.json()["diagnostics"][0]["code"], "NX1203");
}

#[tokio::test]
async fn entity_tags_keep_two_people_from_overwriting_each_other() {
    let dev = Dev::start();
    let created = dev.ask("POST", "/api/v1/workflows", &[YAML], ECHO).await;
    let tag = created.header("etag").expect("a tag").to_owned();
    let known = dev
        .ask("GET", "/api/v1/workflows/echo", &[("if-none-match", &tag)], "")
        .await;
    assert_eq!((known.status, known.text.as_str()), (304, ""));
    let change = r#"{"description": "first"}"#;
    let as_json = ("content-type", "application/json");
    let first = dev
        .ask(
            "PATCH",
            "/api/v1/workflows/echo",
            &[as_json, ("if-match", &tag)],
            change,
        )
        .await;
    assert_eq!(first.status, 200, "{}", first.text);
    assert_ne!(first.header("etag"), Some(tag.as_str()));
    let second = dev
        .ask("PUT", "/api/v1/workflows/echo", &[as_json, ("if-match", &tag)], change)
        .await;
    assert_eq!(
        (second.status, &second.json()["reason"]),
        (412, &json!("ETAG_MISMATCH"))
    );
    let gone = dev
        .ask("DELETE", "/api/v1/workflows/echo/", &[("if-match", &tag)], "")
        .await;
    assert_eq!(gone.status, 412);
    let gone = dev.ask("DELETE", "/api/v1/workflows/echo", &[], "").await;
    assert_eq!((gone.status, gone.text.as_str()), (200, "{}\n"));
    assert_eq!(dev.get("/api/v1/workflows/echo").await.status, 404);
}

#[tokio::test]
async fn a_call_with_a_key_may_be_repeated_and_another_call_may_not_have_it() {
    let dev = Dev::start();
    dev.apply(ECHO).await.expect("apply");
    let key = [("content-type", "application/json"), ("idempotency-key", "order-7")];
    let trigger = "/api/v1/workflows/echo/trigger";
    let first = dev.ask("POST", trigger, &key, r#"{"params": {"n": 1}}"#).await.json();
    let again = dev.ask("POST", trigger, &key, r#"{"params": {"n": 1}}"#).await.json();
    assert_eq!(first["id"], again["id"]);
    let by_body = dev
        .post(trigger, r#"{"params": {"n": 1}, "request_id": "order-7"}"#)
        .await
        .json();
    assert_eq!(first["id"], by_body["id"], "the first system's way to say it");
    let other = dev.ask("POST", trigger, &key, r#"{"params": {"n": 2}}"#).await;
    assert_eq!(
        (other.status, &other.json()["reason"]),
        (409, &json!("REQUEST_ID_REUSED"))
    );
    let both = dev.ask("POST", trigger, &key, r#"{"request_id": "order-8"}"#).await;
    assert_eq!(
        (both.status, &both.json()["errors"][0]["field"]),
        (400, &json!("request_id"))
    );
}

#[tokio::test]
async fn pages_are_linked_and_namespaces_kept_apart() {
    let dev = Dev::start();
    for name in ["a", "b", "c"] {
        let file = ECHO.replace("echo", name);
        dev.ask("POST", "/api/v1/workflows/apply", &[YAML], &file).await;
    }
    let (mut path, mut seen) = ("/api/v1/workflows?page_size=2".to_owned(), Vec::new());
    loop {
        let page = dev.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let names = page.json()["workflows"].as_array().expect("list").clone();
        seen.extend(names.iter().map(|one| one["name"].clone()));
        let Some(link) = page.header("link") else { break };
        assert!(link.ends_with("; rel=\"next\""), "{link}");
        path = link.split(['<', '>']).nth(1).expect("a place").to_owned();
    }
    assert_eq!(seen, [json!("a"), json!("b"), json!("c")]);
    let team = [("nexus-namespace", "team-a")];
    assert_eq!(
        dev.ask("GET", "/api/v1/workflows", &team, "").await.json()["workflows"],
        json!([])
    );
    assert_eq!(dev.ask("GET", "/api/v1/workflows/a", &team, "").await.status, 404);
    let wrong = dev
        .ask("GET", "/api/v1/workflows", &[("nexus-namespace", "Team A")], "")
        .await;
    assert_eq!(
        (wrong.status, &wrong.json()["errors"][0]["field"]),
        (400, &json!("nexus-namespace"))
    );
}

/// The status, and what is said.
async fn refused(dev: &Dev, verb: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let answer = dev.ask(verb, path, headers, body).await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{}",
        answer.text
    );
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status);
    (answer.status, problem)
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_would_be_right() {
    let dev = Dev::start();
    let as_json = ("content-type", "application/json");
    for (verb, path, headers, body, status, told) in [
        ("GET", "/api/v1/workflow", vec![], "", 404, "/api/v1/workflows"),
        ("GET", "/nothing", vec![], "", 404, "/openapi.json"),
        ("GET", "/api/v1/workflows/nobody", vec![], "", 404, "nobody"),
        ("PATCH", "/api/v1/executions", vec![], "", 405, "GET"),
        (
            "GET",
            "/api/v1/workflows",
            vec![("accept", "text/html")],
            "",
            406,
            "application/json",
        ),
        ("GET", "/api/v1/executions?page_sise=1", vec![], "", 400, "page_size"),
        ("GET", "/api/v1/executions?page_size=x", vec![], "", 400, "whole number"),
        (
            "GET",
            "/api/v1/executions?filter=stat%20%3D%201",
            vec![],
            "",
            400,
            "state",
        ),
        (
            "POST",
            "/api/v1/dag/validate",
            vec![as_json],
            "{\n \"sorce\": \"x\"}",
            400,
            "source",
        ),
        (
            "POST",
            "/api/v1/dag/validate",
            vec![as_json],
            "{\"source\": ",
            400,
            "line 1",
        ),
        (
            "POST",
            "/api/v1/dag/validate",
            vec![("content-type", "text/plain")],
            "x",
            415,
            "application/yaml",
        ),
        (
            "GET",
            "/api/v1/workflows",
            vec![("nexus-timeout", "soon")],
            "",
            400,
            "5s",
        ),
    ] {
        let (found, problem) = refused(&dev, verb, path, &headers, body).await;
        assert_eq!(found, status, "{verb} {path}: {problem}");
        let detail = problem["detail"].as_str().expect("detail");
        assert!(detail.contains(told), "{verb} {path}: {detail}");
    }
    let traced = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let (_, problem) = refused(&dev, "GET", "/api/v1/workflows/nobody", &[traced], "").await;
    assert_eq!(problem["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
}
