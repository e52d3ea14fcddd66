//! The message that a request is: from its body, its path, its query and some headers, each of which may say a field, and
//! none of which may contradict another. Pure.

use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode, header};
use nexus_api::ErrorReason;
use nexus_api::json::{MAX_DEPTH, depth};
use nexus_api::method::{Idempotency, Permission};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};

use crate::catalog::{BodyRule, Operation};
use crate::json::{self, Mistake, Place, of_text};
use crate::problem::Problem;
use crate::query;
use crate::template::Bindings;
use crate::{mask, wait};

/// The header that names a mutating call, so that it may be repeated.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header with which a reader of a stream says what it has seen.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Characters of the name of a call at most.
const MAX_NAME: usize = 128;
/// Payloads stand in something.
const MOST_NESTED: usize = MAX_DEPTH + 2;

/// A request that was read.
#[derive(Debug)]
pub struct Asked {
    /// The message.
    pub message: DynamicMessage,
    /// How long the answer may wait for the end of what was begun.
    pub wait: Option<Duration>,
}

/// Puts a message together.
///
/// # Errors
/// When a part cannot be read, is not known, or contradicts another.
pub fn assemble(
    operation: &Operation,
    bindings: Bindings,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Asked, Problem> {
    let mut message = read_body(operation, headers, body)?;
    let mut wait = None;
    for (name, texts) in query::pairs(query)? {
        if name == wait::PARAMETER && wait::can(operation) {
            wait = Some(wait::read(&texts)?);
            continue;
        }
        query::set(&mut message, &name, &texts)?;
    }
    for (path, text) in &bindings {
        bind(&mut message, path, text, "the path")?;
    }
    let object = match operation.body == BodyRule::Whole && !body.is_empty() {
        true if matches!(form(operation, headers)?, Form::Json) => body,
        _ => &[],
    };
    mask::complete(&mut message, operation, &bindings, object)?;
    for (header, field, kind) in [
        (IDEMPOTENCY_KEY, "request_id", Kind::String),
        (header::IF_MATCH, "etag", Kind::String),
        (LAST_EVENT_ID, "after_sequence", Kind::Uint64),
    ] {
        let Some(field) = operation.conventional(field, &kind) else {
            continue;
        };
        let Some(text) = said(headers, &header)? else { continue };
        match header.as_str() {
            // It outranks the query: a browser that comes again asks with the address that it had at first.
            "last-event-id" => {
                let value =
                    of_text(&kind, &text).map_err(|unfit| Problem::field("Last-Event-ID", unfit.to_string()))?;
                message.set_field(&field, value);
            }
            "if-match" => match entity_tag(&text) {
                Some("*") => {}
                Some(tag) => bind(&mut message, field.name(), tag, "If-Match")?,
                None => {
                    return Err(Problem::field(
                        "If-Match",
                        "is no entity tag, which stands in quotes: \"v3\"",
                    ));
                }
            },
            _ => bind(&mut message, field.name(), &text, "Idempotency-Key")?,
        }
    }
    Ok(Asked { message, wait })
}

/// The name that a caller gives a call that has no place for it in its message, and is not done twice all the same: it has to be
/// remembered here.
///
/// # Errors
/// When the name cannot be read, or nobody could say whose it is.
pub fn named_call(operation: &Operation, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let knows = operation.conventional("request_id", &Kind::String).is_some();
    let contract = nexus_api::method::method(&operation.rpc_path);
    let twice = contract.is_none_or(|contract| contract.idempotency == Idempotency::Never);
    let Some(name) = said(headers, &IDEMPOTENCY_KEY)?.filter(|_| !knows && twice) else {
        return Ok(None);
    };
    if operation.streams() || contract.is_none_or(|contract| contract.permission == Permission::Public) {
        let problem = "is not known here: nobody has said yet who calls; leave it out";
        return Err(Problem::field("Idempotency-Key", problem));
    }
    if name.len() > MAX_NAME {
        return Err(Problem::field(
            "Idempotency-Key",
            format!("has more than {MAX_NAME} characters"),
        ));
    }
    Ok(Some(name))
}

/// A header's text, which may be there once.
fn said(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::field(name.as_str(), "is given more than once"));
    }
    let text = first
        .to_str()
        .map_err(|_| Problem::field(name.as_str(), "is no ASCII text"))?;
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// What an entity tag names, strong or weak.
#[must_use]
pub fn entity_tag(text: &str) -> Option<&str> {
    let text = text.trim();
    if text == "*" {
        return Some(text);
    }
    let text = text.strip_prefix("W/").unwrap_or(text);
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.is_empty() && !inner.contains('"')).then_some(inner)
}

/// Sets a field that a path of names leads to; one that is set already must say the same.
fn bind(message: &mut DynamicMessage, path: &str, text: &str, by: &str) -> Result<(), Problem> {
    let (parent, field) = query::walk(message, path).ok_or_else(|| Problem::field(path, "there is no such field"))?;
    let value = of_text(&field.kind(), text).map_err(|unfit| Problem::field(path, unfit.to_string()))?;
    if parent.has_field(&field) && *parent.get_field(&field) != value {
        return Err(Problem::field(
            path,
            format!("is not what {by} says; leave one of them out"),
        ));
    }
    parent.set_field(&field, value);
    Ok(())
}

fn read_body(operation: &Operation, headers: &HeaderMap, body: &[u8]) -> Result<DynamicMessage, Problem> {
    let mut message = DynamicMessage::new(operation.input());
    if body.is_empty() {
        return Ok(message);
    }
    if operation.body == BodyRule::None {
        let problem = format!("{} takes no body here; give fields in the query", operation.verb);
        return Err(Problem::mistake(Mistake {
            field: String::new(),
            problem,
            place: None,
        }));
    }
    let form = form(operation, headers)?;
    let text = text(body)?;
    match (&form, &operation.body) {
        (Form::File(field), _) => {
            message.set_field(field, Value::String(text.to_owned()));
            Ok(message)
        }
        (Form::Json, BodyRule::Field(field)) => {
            shallow(text)?;
            if let Some(value) = json::read_field(text, field).map_err(Problem::mistake)? {
                message.set_field(field, value);
            }
            Ok(message)
        }
        (Form::Json, _) => {
            shallow(text)?;
            json::read(text, &operation.input()).map_err(Problem::mistake)
        }
    }
}

fn text(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|error| {
        let (good, _) = body.split_at(error.valid_up_to());
        let lines: Vec<&[u8]> = good.split(|byte| *byte == b'\n').collect();
        Problem::mistake(Mistake {
            field: String::new(),
            problem: "the body is no UTF-8".to_owned(),
            place: Some(Place {
                line: lines.len(),
                column: lines
                    .last()
                    .map_or(0, |line| String::from_utf8_lossy(line).chars().count())
                    + 1,
            }),
        })
    })
}

fn shallow(text: &str) -> Result<(), Problem> {
    let nested = depth(text);
    if nested <= MOST_NESTED {
        return Ok(());
    }
    Err(Problem::mistake(Mistake {
        field: String::new(),
        problem: format!("the body is nested {nested} deep, at most {MOST_NESTED} are taken"),
        place: None,
    }))
}

enum Form {
    Json,
    File(FieldDescriptor),
}

/// What the body is, by its media type.
fn form(operation: &Operation, headers: &HeaderMap) -> Result<Form, Problem> {
    let file = operation.file_field();
    let takes = match file {
        Some(_) => "application/json, or application/yaml for the file itself",
        None => "application/json",
    };
    let refuse = |what: &str| {
        let detail = format!("{what}; this takes {takes}. With curl: -H 'content-type: application/json'");
        Err(Problem::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
    };
    if let Some(encoding) = said(headers, &header::CONTENT_ENCODING)?
        && !encoding.eq_ignore_ascii_case("identity")
    {
        return refuse("bodies that are compressed are not taken");
    }
    let Some(said) = said(headers, &header::CONTENT_TYPE)? else {
        return refuse("the body has no content type");
    };
    let Ok(media_type) = said.parse::<mime::Mime>() else {
        return refuse("the content type cannot be read");
    };
    if media_type
        .get_param(mime::CHARSET)
        .is_some_and(|charset| charset != mime::UTF_8)
    {
        return refuse("the body must be UTF-8");
    }
    let is_json = media_type.subtype() == mime::JSON || media_type.suffix() == Some(mime::JSON);
    let is_yaml = matches!(media_type.subtype().as_str(), "yaml" | "x-yaml" | "vnd.yaml")
        || media_type.suffix().is_some_and(|suffix| suffix == "yaml");
    match (media_type.type_().as_str(), file) {
        ("application", _) if is_json => Ok(Form::Json),
        ("application" | "text", Some(field)) if is_yaml => Ok(Form::File(field)),
        _ => refuse(&format!("{} is not taken", media_type.essence_str())),
    }
}

/// That a body is too large, told as services tell it.
#[must_use]
pub fn too_large(most: usize) -> Problem {
    let detail = format!("the body is larger than gateway.max_body_bytes, {most}");
    Problem::of(StatusCode::PAYLOAD_TOO_LARGE, ErrorReason::PayloadTooLarge, detail)
}

#[cfg(test)]
mod tests;
