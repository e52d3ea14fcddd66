//! An operation as OpenAPI has it: what it takes, and every status that it can give.

use nexus_api::method::{Permission, method};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::{Comments, first_sentence};
use super::examples::EXAMPLES;
use super::schema::{Schemas, Side, behaves, scalar};
use crate::catalog::{BodyRule, Operation, content};
use crate::request::{IDEMPOTENCY_KEY, named_call};
use crate::{cookie, wait};

/// Describes an operation.
pub(super) fn describe(one: &Operation, comments: &Comments, schemas: &mut Schemas<'_>) -> Value {
    let comment = comments.of_method(&one.method);
    let name = one.method.name();
    let id = match one.additional {
        true => format!("{name}By{}", capital(one.verb.as_str())),
        false => name.to_owned(),
    };
    let mut described = json!({
        "operationId": id,
        "tags": [one.method.parent_service().name()],
        "summary": first_sentence(&comment),
        "description": comment,
        "parameters": parameters_of(one, comments, schemas),
    });
    if let Some(body) = body(one, schemas) {
        described["requestBody"] = body;
    }
    described["responses"] = Value::Object(responses_of(one, schemas));
    if let Some(method) = method(&one.rpc_path) {
        described["x-nexus-permission"] = method.permission.name().into();
        if method.permission == Permission::Public {
            described["security"] = json!([]);
        }
    }
    described
}

fn capital(verb: &str) -> String {
    let (first, rest) = verb.split_at(1.min(verb.len()));
    format!("{first}{}", rest.to_lowercase())
}

/// Everything that is given outside of the body.
fn parameters_of(one: &Operation, comments: &Comments, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let input = one.input();
    let in_path: Vec<&str> = one.template.fields().collect();
    let mut parameters = Vec::new();
    for name in &in_path {
        let field = crate::catalog::field_at(&input, name);
        let (schema, comment) = field.map_or_else(
            || (json!({"type": "string"}), String::new()),
            |field| (scalar(&field.kind()), comments.of_field(&field)),
        );
        let mut parameter = json!({"name": name, "in": "path", "required": true, "schema": schema});
        parameter["description"] = comment.into();
        parameters.push(parameter);
    }
    if one.body != BodyRule::Whole {
        query(&input, &in_path, comments, schemas, &mut parameters);
    }
    if wait::can(one) {
        parameters.push(json!({
            "name": wait::PARAMETER,
            "in": "query",
            "description": "Wait so long for the end, such as `30s`, at most `60s`: 200 with it, or 202 when it has not come.",
            "schema": {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(ms|s|m)?$"},
        }));
    }
    let shared = |name: &str| json!({"$ref": format!("#/components/parameters/{name}")});
    parameters.push(shared("Namespace"));
    parameters.push(shared("Timeout"));
    for (field, kind, name) in [
        ("request_id", Kind::String, "IdempotencyKey"),
        ("etag", Kind::String, "IfMatch"),
        ("after_sequence", Kind::Uint64, "LastEventId"),
    ] {
        if one.conventional(field, &kind).is_some() {
            parameters.push(shared(name));
        }
    }
    if remembers(one) {
        parameters.push(shared("IdempotencyKey"));
    }
    if has_tag(one) && one.verb == http::Method::GET {
        parameters.push(shared("IfNoneMatch"));
    }
    if cookie::gives_token(one).is_some() {
        parameters.push(shared("NexusSession"));
    }
    parameters
}

/// Whether a repetition is known by the header alone.
fn remembers(one: &Operation) -> bool {
    let headers = http::HeaderMap::from_iter([(IDEMPOTENCY_KEY, http::HeaderValue::from_static("a"))]);
    named_call(one, &headers).is_ok_and(|name| name.is_some())
}

/// The fields that a query can say.
fn query(
    input: &MessageDescriptor,
    in_path: &[&str],
    comments: &Comments,
    schemas: &mut Schemas<'_>,
    into: &mut Vec<Value>,
) {
    for field in input.fields().filter(|field| !in_path.contains(&field.name())) {
        let Some(mut parameter) = query_field(&field, schemas) else {
            continue;
        };
        parameter["description"] = comments.of_field(&field).into();
        into.push(parameter);
    }
}

fn query_field(field: &FieldDescriptor, schemas: &mut Schemas<'_>) -> Option<Value> {
    let one = |field: &FieldDescriptor, schemas: &mut Schemas<'_>| match field.kind() {
        Kind::Enum(kind) => Some(schemas.enumeration(&kind)),
        Kind::Message(message) if message.package_name() != "google.protobuf" => None,
        kind => Some(scalar(&kind)),
    };
    let mut parameter = json!({"name": field.name(), "in": "query"});
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else {
            return None;
        };
        let value = one(&entry.map_entry_value_field(), schemas)?;
        parameter["style"] = "deepObject".into();
        parameter["explode"] = true.into();
        parameter["schema"] = json!({"type": "object", "additionalProperties": value});
    } else if field.is_list() {
        parameter["schema"] = json!({"type": "array", "items": one(field, schemas)?});
    } else {
        parameter["schema"] = one(field, schemas)?;
        if field.name() == "page_size" {
            parameter["schema"]["minimum"] = 0.into();
        }
        if behaves(field, "REQUIRED") {
            parameter["required"] = true.into();
        }
    }
    Some(parameter)
}

fn body(one: &Operation, schemas: &mut Schemas<'_>) -> Option<Value> {
    let in_path: Vec<&str> = one.template.fields().collect();
    let input = one.input();
    let schema = match &one.body {
        BodyRule::None => return None,
        BodyRule::Whole => schemas.message(&input, Side::Request, &in_path),
        BodyRule::Field(field) => schemas.field(field, Side::Request),
    };
    let mut forms = Map::new();
    forms.insert("application/json".to_owned(), json!({"schema": schema}));
    if one.file_field().is_some() {
        let schema = json!({"type": "string", "description": "The file itself. Other fields stand in the query then."});
        forms.insert("application/yaml".to_owned(), json!({"schema": schema}));
    }
    for example in EXAMPLES.iter().filter(|example| example.operation == one.method.name()) {
        if let Some(form) = forms.get_mut(example.media_type) {
            let value = match example.media_type {
                "application/json" => serde_json::from_str(example.body).unwrap_or(Value::Null),
                _ => example.body.into(),
            };
            form["examples"] = json!({"usual": {"value": value}});
        }
    }
    let is_file = |field: &FieldDescriptor| content(field) == nexus_api::common::v1::Content::File;
    let required = input
        .fields()
        .any(|field| !in_path.contains(&field.name()) && (behaves(&field, "REQUIRED") || is_file(&field)));
    Some(json!({"required": required, "content": forms}))
}

/// Whether the answer has an entity tag.
fn has_tag(one: &Operation) -> bool {
    let shown = match &one.shown {
        None => Some(one.method.output()),
        Some(field) => field.kind().as_message().filter(|_| !field.is_list()).cloned(),
    };
    shown.is_some_and(|shown| shown.get_field_by_name("etag").is_some())
}

fn responses_of(one: &Operation, schemas: &mut Schemas<'_>) -> Map<String, Value> {
    let shown = match &one.shown {
        None => schemas.message(&one.method.output(), Side::Answer, &[]),
        Some(field) => match (one.streams(), field.kind()) {
            // A stream tells a list item by item.
            (true, Kind::Message(item)) => schemas.message(&item, Side::Answer, &[]),
            (_, Kind::Message(message)) if !field.is_list() => schemas.message(&message, Side::Answer, &[]),
            _ => schemas.field(field, Side::Answer),
        },
    };
    let mut responses = Map::new();
    responses.insert("200".to_owned(), good(one, &shown));
    if wait::can(one) {
        let mut begun = good(one, &shown);
        begun["description"] = "It has begun and not ended yet; `Location` is where to look.".into();
        begun["headers"] = json!({"Location": {"schema": {"type": "string"}}});
        responses.insert("202".to_owned(), begun);
    }
    if has_tag(one) && one.verb == http::Method::GET {
        responses.insert(
            "304".to_owned(),
            json!({"description": "It is what `If-None-Match` names."}),
        );
    }
    for status in statuses(one) {
        responses.insert(
            status.to_owned(),
            json!({"$ref": format!("#/components/responses/{status}")}),
        );
    }
    responses
}

fn good(one: &Operation, shown: &Value) -> Value {
    if one.streams() {
        return json!({
            "description": "A stream: server-sent events, each with an item as its data, or an item a line.",
            "content": {
                // Without a type: some tools mean the stream's text by it, others each event.
                "text/event-stream": {"schema": {}, "x-nexus-item": shown},
                "application/x-ndjson": {"schema": {"type": "string"}, "x-nexus-item": shown},
            },
        });
    }
    let mut good = json!({"description": "Done.", "content": {"application/json": {"schema": shown}}});
    if has_tag(one) {
        good["headers"] = json!({"ETag": {"schema": {"type": "string"}, "description": "For `If-Match`."}});
    }
    if one.conventional("page_token", &Kind::String).is_some() {
        good["headers"] =
            json!({"Link": {"schema": {"type": "string"}, "description": "The next page, `rel=\"next\"`."}});
    }
    good
}

/// The statuses of problems that an operation can give.
fn statuses(one: &Operation) -> Vec<&'static str> {
    let permission = method(&one.rpc_path).map(|method| method.permission);
    let reads = matches!(
        permission,
        Some(
            Permission::WorkflowsRead
                | Permission::ExecutionsRead
                | Permission::LogsRead
                | Permission::FeedRead
                | Permission::AccessRead
        )
    );
    let with_body = one.body != BodyRule::None;
    let identified = one.template.fields().next().is_some();
    let all = [
        ("400", true),
        ("401", true),
        ("403", true),
        ("404", identified),
        ("406", true),
        ("408", with_body),
        ("409", !reads),
        ("412", one.conventional("etag", &Kind::String).is_some()),
        ("413", with_body),
        ("414", true),
        ("415", with_body),
        ("429", true),
        ("431", true),
        ("500", true),
        ("503", true),
        ("504", true),
    ];
    all.into_iter()
        .filter_map(|(status, given)| given.then_some(status))
        .collect()
}

/// Parameters that many operations have.
pub(super) fn parameters() -> Value {
    // No examples: pages fill them in, and a key that was not chosen is worse than none.
    let header = |name: &str, description: &str, pattern: &str, such_as: &str| {
        let schema = json!({"type": "string", "pattern": pattern});
        let description = format!("{description} Such as `{such_as}`.");
        json!({"name": name, "in": "header", "description": description, "schema": schema})
    };
    let tag = "^(W/)?\"[!#-~]+\"$";
    json!({
        "Namespace": header(
            "Nexus-Namespace",
            "The namespace that the call is about; `default` without it.",
            "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
            "team-a",
        ),
        "Timeout": header(
            "Nexus-Timeout",
            "How long the call may take; its method's longest time at most.",
            "^[1-9][0-9]{0,3}(ms|s|m)?$",
            "5s",
        ),
        "IdempotencyKey": header(
            "Idempotency-Key",
            "Names the call, so that it may be repeated: the field `request_id`, where there is one.",
            "^[!-~]{1,128}$",
            "0f8b3a52-7c1e-4d59-9a34-6f0d2f6f1e11",
        ),
        "IfMatch": header("If-Match", "The `ETag` last read; 412 when it is no longer the current one.", tag, "\"v3\""),
        "IfNoneMatch": header("If-None-Match", "The `ETag` that is known; 304 when it is the current one.", tag, "\"v3\""),
        "NexusSession": header(
            "Nexus-Session",
            "What a browser asks for: `cookie` puts the token into a cookie that no script can read, and `token` of the answer \
             is empty.",
            "^(cookie|token)$",
            "cookie",
        ),
        "LastEventId": header(
            "Last-Event-ID",
            "The `id` of the last event seen: the stream goes on after it.",
            "^[0-9]{1,19}$",
            "7",
        ),
    })
}

/// Problems by status.
pub(super) fn responses() -> Value {
    let mut responses = Map::new();
    for (status, description) in [
        ("400", "Something in the request is wrong; `errors` says what."),
        ("401", "There is no credential, or it is none (any more)."),
        (
            "403",
            "The credential does not allow it (`x-nexus-permission`), the request is for another host, or from a web page of another origin.",
        ),
        ("404", "There is no such thing."),
        ("406", "`Accept` wants what is not given."),
        ("408", "The body did not come in time."),
        (
            "409",
            "It contradicts what is: the name is taken, the key was used for another call, the state does not allow it.",
        ),
        ("412", "Somebody else has changed it meanwhile."),
        ("413", "The body, or a part of it, is too large."),
        ("414", "The address is too long."),
        ("415", "The body is of another media type than those that are taken."),
        ("429", "Too much at present; `Retry-After` says when to come again."),
        ("431", "The headers are too large, or too many."),
        ("500", "A mistake of NEXUS; its logs have the details."),
        ("503", "Not at present; `Retry-After` says when to come again."),
        ("504", "It did not come to an end in time."),
    ] {
        let content = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
        responses.insert(
            status.to_owned(),
            json!({"description": description, "content": content}),
        );
    }
    Value::Object(responses)
}
