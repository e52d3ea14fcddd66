//! Requests over REST: any of them is a message or a problem, a message is shown as JSON that is read back as the same
//! message, and any answer of a service can be shown.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use nexus_gateway::catalog::{Catalog, Found};
use nexus_gateway::{json, request, respond};
use prost_reflect::{DynamicMessage, ReflectMessage};

pub(crate) const WORDS: &[&str] = &[
    "POST",
    "GET",
    "/api/v1/workflows",
    "/api/v1/executions/",
    "/trigger",
    "/cancel",
    "?labels[a]=b",
    "&expected_seconds[x]=1e3",
    "?timeout=1.5s",
    "?wait=30s",
    "update_mask=description",
    "%2F",
    "%",
    ":",
    "//",
    "\n",
    "\"params\":",
    "{\"a\":[1.50,null]}",
    "\\ud800",
    "\"request_id\":\"x\"",
    "null",
    "18446744073709551616",
    "-0",
    "application/yaml",
    "application/json",
    "\"v3\"",
    "[[[[[[[[",
    "\u{0}",
];

#[allow(clippy::expect_used)]
static CATALOG: LazyLock<Catalog> =
    LazyLock::new(|| Catalog::read(nexus_api::json::pool()).expect("the contracts can be served"));

/// The first line is verb, address and media type, the second one a key; the rest is the body, or a service's answer.
pub fn transcoder(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let line = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let key = parts.next().unwrap_or_default();
    let body = parts.next().unwrap_or_default();
    let mut words = line.split(' ');
    let verb = Method::from_bytes(words.next().unwrap_or_default().as_bytes()).unwrap_or_default();
    let address = words.next().unwrap_or_default();
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let (operation, bindings) = match CATALOG.find(&verb, path) {
        Found::Operation(operation, bindings) => (operation, bindings),
        Found::Verbs(verbs) => return assert!(!verbs.contains(&verb) || verb == Method::OPTIONS),
        Found::Nothing(_) => return,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", words.next().unwrap_or_default().as_bytes()),
        ("idempotency-key", key),
    ] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    match request::assemble(&operation, bindings, query, &headers, body) {
        Ok(asked) => round_trip(&asked.message),
        Err(problem) => {
            assert!(problem.status.is_client_error(), "{problem:?}");
            assert!(!problem.body.detail.is_empty() && problem.json().starts_with(b"{"));
        }
    }
    if let Ok(answer) = DynamicMessage::decode(operation.method.output(), body) {
        let answer = respond::unary(&operation, &answer, path, query, &headers);
        assert!(answer.status().is_success() || answer.status().is_redirection());
    }
}

/// What is shown is JSON, and the message again.
fn round_trip(message: &DynamicMessage) {
    let mut text = Vec::new();
    json::write(message, &mut text);
    let text = String::from_utf8_lossy(&text);
    // As deep as it may be it is still read.
    assert!(
        serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok(),
        "{text}"
    );
    match json::read(&text, &message.descriptor()) {
        Ok(again) => {
            let mut second = Vec::new();
            json::write(&again, &mut second);
            assert_eq!(text, String::from_utf8_lossy(&second));
        }
        Err(mistake) => panic!("{mistake:?}: {text}"),
    }
}
