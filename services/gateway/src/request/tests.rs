//! Requests that are messages, and requests that are none.

use std::sync::Arc;

use http::Method;
use serde_json::json;

use super::*;
use crate::catalog::{Catalog, Found};

/// A request as it comes: verb, path with query, headers, body.
fn ask(verb: Method, address: &str, said: &[(&str, &str)], body: &str) -> Result<Asked, Problem> {
    let catalog = Catalog::read(nexus_api::json::pool()).expect("the contracts");
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let Found::Operation(operation, bindings) = catalog.find(&verb, path) else {
        panic!("{verb} {path} is not there");
    };
    let operation: Arc<Operation> = operation;
    let mut headers = HeaderMap::new();
    for (name, value) in said {
        headers.append(
            HeaderName::try_from(*name).expect("name"),
            value.parse().expect("value"),
        );
    }
    assemble(&operation, bindings, query, &headers, body.as_bytes())
}

const AS_JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
const TRIGGER: &str = "/api/v1/workflows/etl/trigger";

/// What of the message is set.
fn shown(asked: &Asked) -> serde_json::Value {
    let options = prost_reflect::SerializeOptions::new().use_proto_field_name(true);
    let shown = asked
        .message
        .serialize_with_options(serde_json::value::Serializer, &options);
    shown.expect("json")
}

#[test]
fn body_path_query_and_headers_say_a_message_together() {
    let said = [AS_JSON, ("idempotency-key", "k-1")];
    let asked = ask(
        Method::POST,
        &format!("{TRIGGER}/?wait=2s&labels[team]=a%20b"),
        &said,
        r#"{"params":{"n":1.50}}"#,
    );
    let asked = asked.expect("a request");
    assert_eq!(asked.wait, Some(Duration::from_secs(2)));
    let expected = json!({"workflow": "etl", "params": "{\"n\":1.50}", "labels": {"team": "a b"}, "request_id": "k-1"});
    assert_eq!(shown(&asked), expected);
    let asked = ask(
        Method::GET,
        "/api/v1/workflows/etl/graph?format=svg&revision=3&expected_seconds[a.b]=0.5",
        &[],
        "",
    );
    let expected =
        json!({"workflow": "etl", "revision": 3, "format": "GRAPH_FORMAT_SVG", "expected_seconds": {"a.b": 0.5}});
    assert_eq!(shown(&asked.expect("a request")), expected);
    let asked = ask(Method::GET, "/api/v1/executions/7/wait?timeout=1.5s", &[], "").expect("a request");
    assert_eq!(shown(&asked), json!({"execution": "7", "timeout": "1.500s"}));
    let asked = ask(Method::POST, "/api/v1/executions/7/cancel?reason=late", &[], "").expect("no body is none");
    assert_eq!(shown(&asked), json!({"execution": "7", "reason": "late"}));
}

#[test]
fn a_file_may_be_the_body_itself() {
    let yaml = ("content-type", "application/yaml");
    let asked = ask(
        Method::POST,
        "/api/v1/workflows/apply?validate_only=true",
        &[yaml],
        "name: x\n",
    );
    assert_eq!(
        shown(&asked.expect("a request")),
        json!({"source": "name: x\n", "validate_only": true})
    );
    let asked = ask(
        Method::PUT,
        "/api/v1/workflows/x",
        &[yaml, ("if-match", "\"v7\"")],
        "name: x\n",
    );
    assert_eq!(
        shown(&asked.expect("a request")),
        json!({"workflow": "x", "source": "name: x\n", "etag": "v7", "update_mask": "source"})
    );
    assert_eq!(
        refused(ask(Method::POST, TRIGGER, &[yaml], "a: 1")),
        (415, String::new())
    );
}

/// A refusal's status and the field that it is about.
fn refused(asked: Result<Asked, Problem>) -> (u16, String) {
    let problem = asked.expect_err("refused");
    let field = problem
        .body
        .errors
        .first()
        .map(|fault| fault.field.clone())
        .unwrap_or_default();
    (problem.status.as_u16(), field)
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (address, said, body, field) in [
        (TRIGGER.to_owned(), vec![AS_JSON], r#"{"workflow":"other"}"#, "workflow"),
        (
            TRIGGER.to_owned(),
            vec![AS_JSON, ("idempotency-key", "a")],
            r#"{"request_id":"b"}"#,
            "request_id",
        ),
        (
            format!("{TRIGGER}?revision=1"),
            vec![AS_JSON],
            r#"{"revision":2}"#,
            "revision",
        ),
        (format!("{TRIGGER}?revision=1&revision=2"), vec![], "", "revision"),
        (format!("{TRIGGER}?labels=x"), vec![], "", "labels"),
        (format!("{TRIGGER}?wait=1h"), vec![], "", "wait"),
        (
            TRIGGER.to_owned(),
            vec![("idempotency-key", "a"), ("idempotency-key", "b")],
            "",
            "idempotency-key",
        ),
    ] {
        let refused = refused(ask(Method::POST, &address, &said, body));
        assert_eq!(refused, (400, field.to_owned()), "{address} {body}");
    }
    let same = ask(
        Method::POST,
        TRIGGER,
        &[AS_JSON, ("idempotency-key", "a")],
        r#"{"request_id":"a","workflow":"etl"}"#,
    );
    assert!(same.is_ok(), "the same twice is no contradiction");
}

#[test]
fn where_a_reader_has_come_to_outranks_what_it_began_with() {
    let watch = "/api/v1/executions/7/watch?after_sequence=2";
    let asked = ask(Method::GET, watch, &[("last-event-id", "9")], "").expect("a request");
    assert_eq!(shown(&asked), json!({"execution": "7", "after_sequence": "9"}));
    assert_eq!(
        refused(ask(Method::GET, watch, &[("last-event-id", "x")], "")),
        (400, "Last-Event-ID".to_owned())
    );
}

#[test]
fn bodies_of_other_kinds_and_bodies_that_are_too_deep_are_refused() {
    let ask =
        |said: &[(&str, &str)], body: &str| ask(Method::POST, TRIGGER, said, body).map_err(|told| told.status.as_u16());
    for (said, expected) in [
        (vec![], 415),
        (vec![("content-type", "text/plain")], 415),
        (vec![("content-type", "application/x-www-form-urlencoded")], 415),
        (vec![("content-type", "application/json; charset=latin1")], 415),
        (vec![AS_JSON, ("content-encoding", "gzip")], 415),
        (vec![("content-type", ";")], 415),
    ] {
        assert_eq!(ask(&said, "{}").expect_err("refused"), expected, "{said:?}");
    }
    let nested = |deep: usize| format!("{{\"params\":{}{}}}", "[".repeat(deep - 1), "]".repeat(deep - 1));
    assert!(ask(&[AS_JSON], &nested(MOST_NESTED)).is_ok());
    assert_eq!(ask(&[AS_JSON], &nested(MOST_NESTED + 1)).expect_err("refused"), 400);
    assert_eq!(ask(&[AS_JSON], &"[".repeat(1_000_000)).expect_err("refused"), 400);
    assert!(ask(&[("content-type", "application/vnd.nexus+json")], "{}").is_ok());
}

#[test]
fn entity_tags_stand_in_quotes() {
    for (text, tag) in [
        ("\"v3\"", Some("v3")),
        ("W/\"v3\"", Some("v3")),
        (" * ", Some("*")),
        ("v3", None),
        ("\"\"", None),
        ("\"a\", \"b\"", None),
    ] {
        assert_eq!(entity_tag(text), tag, "{text}");
    }
}

#[test]
fn a_change_is_about_the_members_of_its_body_empty_ones_too() {
    let mask = |verb, address: &str, said, body: &str| {
        let asked = ask(verb, address, &[said], body).map(|asked| shown(&asked));
        asked.map(|shown| shown["update_mask"].as_str().unwrap_or_default().to_owned())
    };
    let yaml = ("content-type", "application/yaml");
    for (address, said, body, told) in [
        ("/api/v1/users/vera", AS_JSON, r#"{"grants":[]}"#, "grants"),
        (
            "/api/v1/users/vera",
            AS_JSON,
            r#"{"disabled":false,"displayName":"","etag":"v1"}"#,
            "displayName,disabled",
        ),
        ("/api/v1/users/vera?update_mask=disabled", AS_JSON, "{}", "disabled"),
        ("/api/v1/roles/r", AS_JSON, r#"{"permissions":[]}"#, "permissions"),
        (
            "/api/v1/workflows/etl",
            AS_JSON,
            r#"{"description":"","labels":{},"message":"m"}"#,
            "description,labels",
        ),
        ("/api/v1/workflows/etl", yaml, r#"{"labels": {"a": "b"}}"#, "source"),
    ] {
        let mask = mask(Method::PATCH, address, said, body).expect(body);
        assert_eq!(mask, told, "{body}");
    }
    for nothing in ["{}", r#"{"etag":"v1"}"#, ""] {
        let refused = mask(Method::PATCH, "/api/v1/users/vera", AS_JSON, nothing).expect_err(nothing);
        assert!(
            format!("{refused:?}").contains("display_name, grants, disabled"),
            "{refused:?}"
        );
    }
}

#[test]
fn a_name_that_no_message_has_a_place_for_is_remembered_and_refused_where_nobody_is_known() {
    let named = |verb: Method, address: &str, name: &str| {
        let catalog = Catalog::read(nexus_api::json::pool()).expect("the contracts");
        let Found::Operation(operation, _) = catalog.find(&verb, address) else {
            panic!("{address} is served");
        };
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", name.parse().expect("a value"));
        named_call(&operation, &headers)
    };
    let is = |name: &str| Some(name.to_owned());
    assert_eq!(named(Method::POST, "/api/v1/keys", "k1").expect("named"), is("k1"));
    assert_eq!(
        named(Method::PUT, "/api/v1/workflows/etl", "k1").expect("named"),
        is("k1")
    );
    for (verb, address) in [
        (Method::POST, "/api/v1/workflows/etl/trigger"),
        (Method::GET, "/api/v1/workflows"),
        (Method::POST, "/api/v1/executions/x/cancel"),
    ] {
        assert_eq!(
            named(verb, address, "k1").expect(address),
            None,
            "{address} needs nobody to remember"
        );
    }
    assert!(
        named(Method::POST, "/api/v1/login", "k1").is_err(),
        "whose would it be?"
    );
    assert!(named(Method::POST, "/api/v1/keys", &"k".repeat(129)).is_err());
}
