//! What is said about `grpc` tasks.

use super::*;

const GOOD: &str = "target: 'https://x.dev', method: a.v1.B/C";

fn one(fields: &str) -> Vec<&'static str> {
    codes(&task(&format!("{{grpc: {{{fields}}}}}")))
}

#[test]
fn a_call_is_read_with_all_that_it_may_say() {
    let source = task(
        "{grpc: {target: 'https://x.dev:443', method: a.v1.B/C, message: {n: '{{ tasks.b.output }}', big: 9007199254740993}, \
         metadata: {authorization: 'Bearer {{ secrets.k }}', trace-bin: AAE=}, deadline: 5s, max_size: 4MiB, max_messages: 10000, \
         tls: {ca: '{{ secrets.ca }}', cert: c, key: k, server_name: y.dev}, descriptor: '{{ tasks.b.output }}', idempotent: true}}",
    );
    let outcome = parse(&source, "");
    assert!(outcome.diagnostics.is_empty(), "{:?}", outcome.diagnostics);
    let workflow = outcome.workflow.expect("a workflow");
    assert_eq!(workflow.dependencies("a"), ["b"]);
    let Kind::Grpc(grpc) = &workflow.tasks["a"].kind else {
        panic!("grpc")
    };
    assert_eq!(grpc.deadline.map(|span| span.to_string()).as_deref(), Some("5s"));
    assert_eq!(grpc.message["big"].to_string(), "9007199254740993");
    let written = serde_json::to_string(&workflow).expect("json");
    assert_eq!(
        serde_json::from_str::<crate::Workflow>(&written).expect("read again"),
        workflow
    );
}

#[test]
fn what_is_missing_or_misshapen_is_told() {
    assert_eq!(one(""), [codes::MISSING_KEY, codes::MISSING_KEY]);
    assert_eq!(codes(&task("{grpc: 'https://x.dev'}")), [codes::WRONG_TYPE]);
    for target in [
        "x.dev:50051",
        "grpc://x",
        "https://",
        "https://x.dev/path",
        "http://u:p@x",
        "https://x y",
        "dns:///x",
    ] {
        assert_eq!(
            one(&format!("target: '{target}', method: B/C")),
            [codes::GRPC_TARGET],
            "{target}"
        );
    }
    for target in [
        "{{ params.x }}",
        "http{{ params.x }}",
        "https://{{ params.x }}:1",
        "http://[::1]:50051",
        "https://x.dev/",
    ] {
        assert!(one(&format!("target: '{target}', method: B/C")).is_empty(), "{target}");
    }
    for method in [
        "C",
        "a.v1.B.C",
        "/a.v1.B/C",
        "a.v1.B/",
        "a..B/C",
        "a.v1.B/C/D",
        "a.v1.B/{{ params.x }}",
        "a-b.B/C",
    ] {
        assert_eq!(
            one(&format!("target: 'https://x', method: '{method}'")),
            [codes::GRPC_METHOD],
            "{method}"
        );
    }
}

#[test]
fn descriptions_and_certificates_must_go_together() {
    assert_eq!(
        one(&format!("{GOOD}, descriptor: x, reflection: true")),
        [codes::GRPC_DESCRIPTION]
    );
    assert_eq!(one(&format!("{GOOD}, reflection: false")), [codes::GRPC_DESCRIPTION]);
    assert!(one(&format!("{GOOD}, descriptor: x, reflection: false")).is_empty());
    assert_eq!(one(&format!("{GOOD}, tls: {{cert: x}}")), [codes::GRPC_TLS]);
    assert_eq!(one("target: 'http://x', method: B/C, tls: {ca: x}"), [codes::GRPC_TLS]);
    assert_eq!(one(&format!("{GOOD}, tls: {{insecure: true}}")), [codes::NOT_AVAILABLE]);
    assert_eq!(one(&format!("{GOOD}, timeout: 1s")), [codes::NOT_AVAILABLE]);
}

#[test]
fn metadata_and_bounds_are_checked() {
    for name in ["Authorization", "grpc-timeout", "te", "content-type", "a b", "''"] {
        assert_eq!(
            one(&format!("{GOOD}, metadata: {{{name}: x}}")),
            [codes::BAD_NAME],
            "{name}"
        );
    }
    assert_eq!(one(&format!("{GOOD}, metadata: {{a: [1]}}")), [codes::WRONG_TYPE]);
    for (fields, code) in [
        ("max_messages: 10001", codes::OUT_OF_BOUNDS),
        ("max_messages: 0", codes::OUT_OF_BOUNDS),
        ("max_size: 4097KiB", codes::BAD_SIZE),
        ("deadline: 0s", codes::OUT_OF_BOUNDS),
        ("deadline: soon", codes::BAD_SPAN),
        ("idempotent: yes please", codes::WRONG_TYPE),
    ] {
        assert_eq!(one(&format!("{GOOD}, {fields}")), [code], "{fields}");
    }
}
