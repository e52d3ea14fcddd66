//! Bodies that are messages, and bodies that are none.

use prost::Message as _;

use super::*;

fn descriptor(name: &str) -> MessageDescriptor {
    nexus_api::json::pool().get_message_by_name(name).expect(name)
}

fn start(body: &str) -> Result<nexus_api::execution::v1::StartExecutionRequest, Mistake> {
    let message = read(body, &descriptor("nexus.execution.v1.StartExecutionRequest"))?;
    Ok(nexus_api::execution::v1::StartExecutionRequest::decode(message.encode_to_vec().as_slice()).expect("message"))
}

fn wrong(body: &str) -> (String, String, usize, usize) {
    let mistake = start(body).expect_err(body);
    let place = mistake.place.expect("a place");
    (mistake.field, mistake.problem, place.line, place.column)
}

#[test]
fn payloads_are_taken_as_they_stand() {
    let read = start(r#"{"params": {"z": 1.0, "a": 123456789012345678901234567890}, "revision": 2, "requestId": "x"}"#);
    let read = read.expect("a request");
    assert_eq!(read.params, r#"{"z": 1.0, "a": 123456789012345678901234567890}"#);
    assert_eq!((read.revision, read.request_id.as_str()), (2, "x"));
    assert_eq!(
        start(r#"{"params": null, "labels": null}"#).expect("nothing").params,
        ""
    );
    assert_eq!(
        start(r#"{"params": "text"}"#).expect("a text is JSON too").params,
        "\"text\""
    );
    assert_eq!(start(r#"{"labels": {"a": "b"}}"#).expect("labels").labels["a"], "b");
    assert_eq!(start("{}").expect("nothing"), Default::default());
}

#[test]
fn mistakes_are_told_with_field_and_place() {
    for (body, expected) in [
        ("{\n  \"parms\": {}}", ("parms", "did you mean params?", 2, 12)),
        (
            "{\"name\": \"x\"}",
            (
                "name",
                "what belongs to params stands within it: {\"params\": {…}}",
                1,
                10,
            ),
        ),
        ("{\"revision\": \"x\"}", ("revision", "\"x\" is no whole number", 1, 14)),
        ("{\"revision\": true}", ("revision", "true is no number", 1, 14)),
        ("{\"request_id\": 7}", ("request_id", "7 is no text", 1, 16)),
        ("{\"labels\": {\"a\": 1}}", ("labels.a", "1 is no text", 1, 18)),
        ("{\"labels\": []}", ("labels", "a list is no object", 1, 12)),
        ("{\"params\":{},\"params\":{}}", ("params", "twice", 1, 23)),
        (
            "{\"request_id\":\"a\",\"requestId\":\"b\"}",
            ("requestId", "twice", 1, 31),
        ),
        ("[]", ("", "a list is no object", 1, 1)),
        ("{\"params\": {]}", ("", "no JSON", 1, 13)),
        ("{\"params\": {}} x", ("", "trailing characters", 1, 16)),
        ("", ("", "EOF", 1, 1)),
    ] {
        let (field, problem, line, column) = wrong(body);
        assert_eq!(field, expected.0, "{body}");
        assert!(problem.contains(expected.1), "{body}: {problem}");
        assert_eq!((line, column), (expected.2, expected.3), "{body}: {problem}");
    }
}

#[test]
fn files_are_texts_or_objects() {
    let apply = descriptor("nexus.definitions.v1.ApplyWorkflowRequest");
    for (body, source) in [
        (r#"{"source": "name: x\n"}"#, "name: x\n"),
        (
            r#"{"source": {"name": "x", "tasks": {"b": {}, "a": {}}}}"#,
            r#"{"name": "x", "tasks": {"b": {}, "a": {}}}"#,
        ),
    ] {
        let read = read(body, &apply).expect(body);
        assert_eq!(read.get_field_by_name("source").expect("field").as_str(), Some(source));
    }
    assert!(read(r#"{"source": 7}"#, &apply).is_err());
}

#[test]
fn what_is_written_is_read_back() {
    let task = nexus_api::execution::v1::Task {
        id: "t".into(),
        needs: vec!["a".into(), "b".into()],
        output: "[1, 2]".into(),
        start_time: Some(prost_types::Timestamp { seconds: 7, nanos: 9 }),
        state: 7,
        ..Default::default()
    };
    let descriptor = descriptor("nexus.execution.v1.Task");
    let message = DynamicMessage::decode(descriptor.clone(), task.encode_to_vec().as_slice()).expect("message");
    let mut text = Vec::new();
    super::super::write(&message, &mut text);
    let again = read(std::str::from_utf8(&text).expect("text"), &descriptor).expect("read back");
    assert_eq!(again.encode_to_vec(), task.encode_to_vec());
}

#[test]
fn of_several_only_one_may_be_given() {
    let report = descriptor("nexus.worker.v1.TaskReport");
    let both = r#"{"token": "t", "succeeded": {"output": 7}, "cancelled": {}}"#;
    assert!(read(both, &report).expect_err("both").problem.contains("one of them"));
    let one = r#"{"token": "t", "succeeded": {"output": {"n": 1.50}}, "failed": null}"#;
    let read = read(one, &report).expect("one");
    let succeeded = read.get_field_by_name("succeeded").expect("field").into_owned();
    let output = succeeded
        .as_message()
        .expect("message")
        .get_field_by_name("output")
        .expect("field")
        .into_owned();
    assert_eq!(output.as_str(), Some(r#"{"n": 1.50}"#));
}
