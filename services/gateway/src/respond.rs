//! Answers from a service's messages: what of them is shown, and the headers that say the same in HTTP's words. Pure.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use prost_reflect::{DynamicMessage, Kind, ReflectMessage, Value};
use tonic::body::Body;

use crate::body::full;
use crate::catalog::Operation;
use crate::json;
use crate::request::entity_tag;

/// The media type of answers.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The answer to a call, from the message that the service gave.
#[must_use]
pub fn unary(
    operation: &Operation,
    message: &DynamicMessage,
    path: &str,
    query: &str,
    asked: &HeaderMap,
) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    answer.headers_mut().insert(header::CONTENT_TYPE, JSON);
    if let Some(link) = next_page(operation, message, path, query) {
        answer.headers_mut().insert(header::LINK, link);
    }
    if let Some(tag) = tag(operation, message) {
        let text = tag.to_str().unwrap_or_default();
        let is_known = operation.verb == Method::GET && knows(asked, text);
        answer.headers_mut().insert(header::ETAG, tag.clone());
        if is_known {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            return answer;
        }
    }
    let mut text = shown(operation, message);
    text.push(b'\n');
    *answer.body_mut() = full(text);
    answer
}

/// What of a message is shown, as JSON.
#[must_use]
pub fn shown(operation: &Operation, message: &DynamicMessage) -> Vec<u8> {
    let mut text = Vec::new();
    match &operation.shown {
        None => json::write(message, &mut text),
        Some(field) if field.supports_presence() && !message.has_field(field) => text.extend_from_slice(b"null"),
        Some(field) => json::write_value(field, &message.get_field(field), &mut text),
    }
    text
}

/// The entity tag of what is shown: its field `etag`.
fn tag(operation: &Operation, message: &DynamicMessage) -> Option<HeaderValue> {
    let of = |message: &DynamicMessage| {
        let field = message.descriptor().get_field_by_name("etag")?;
        let text = message.get_field(&field).as_str()?.to_owned();
        let fits = !text.is_empty() && !text.contains('"');
        fits.then(|| HeaderValue::from_str(&format!("\"{text}\"")).ok())
            .flatten()
    };
    match &operation.shown {
        None => of(message),
        Some(field) => match message.get_field(field).as_ref() {
            Value::Message(inner) => of(inner),
            _ => None,
        },
    }
}

/// Whether a caller has what a tag names already.
fn knows(asked: &HeaderMap, tag: &str) -> bool {
    let Some(known) = asked.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok()) else {
        return false;
    };
    known
        .split(',')
        .filter_map(entity_tag)
        .any(|known| known == "*" || Some(known) == entity_tag(tag))
}

/// Where the next page is, for a list that goes on.
fn next_page(operation: &Operation, message: &DynamicMessage, path: &str, query: &str) -> Option<HeaderValue> {
    operation.conventional("page_token", &Kind::String)?;
    let field = message.descriptor().get_field_by_name("next_page_token")?;
    let value = message.get_field(&field);
    let token = value.as_str().filter(|token| !token.is_empty())?;
    let kept = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "page_token" && name != "pageToken");
    let mut next = form_urlencoded::Serializer::new(String::new());
    next.extend_pairs(kept).append_pair("page_token", token);
    HeaderValue::from_str(&format!("<{path}?{}>; rel=\"next\"", next.finish())).ok()
}
