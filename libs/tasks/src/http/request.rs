//! From the task's fields to a request. Pure.

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use crate::input;
use nexus_attempt::{Failure, RunContext, text_of};

/// A request that is ready to be sent, and sent again after a redirect.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

pub(super) fn prepare(fields: &input::Http, ctx: &RunContext) -> Result<Prepared, Failure> {
    let url = address(fields)?;
    let (body, content_type) = body(fields)?;
    let method = match &fields.method {
        Some(method) => method
            .parse::<Method>()
            .map_err(|_| Failure::invalid(format!("`method` cannot be `{method}`")))?,
        None if content_type.is_some() => Method::POST,
        None => Method::GET,
    };
    let mut headers = HeaderMap::new();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let mut offer = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value)
            && !value.is_empty()
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    offer("traceparent", &ctx.traceparent);
    if !matches!(method, Method::GET | Method::HEAD | Method::OPTIONS) {
        offer("idempotency-key", &ctx.idempotency_key);
    }
    for (name, value) in &fields.headers {
        let bad = |what: &str| Failure::invalid(format!("header `{name}` has {what} that HTTP does not allow"));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("a name"))?;
        headers.remove(&key);
        let values = match value {
            Value::Array(items) => items.iter().filter_map(text_of).collect(),
            other => text_of(other).into_iter().collect::<Vec<_>>(),
        };
        for value in values {
            headers.append(&key, HeaderValue::from_str(&value).map_err(|_| bad("a value"))?);
        }
    }
    Ok(Prepared {
        method,
        url,
        headers,
        body,
    })
}

fn address(fields: &input::Http) -> Result<Url, Failure> {
    // The parser's message does not quote the address, which may hold a secret.
    let mut url = Url::parse(fields.url.trim())
        .map_err(|error| Failure::new("InvalidUrl", format!("`url` is not an address: {error}")).final_())?;
    if !fields.query.is_empty() {
        let pairs = pairs(&fields.query);
        url.query_pairs_mut().extend_pairs(pairs);
    }
    Ok(url)
}

/// Key-value pairs for a query or a form: a list repeats its key, `null` is left out.
fn pairs(map: &indexmap::IndexMap<String, Value>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for (key, value) in map {
        match value {
            Value::Array(items) => pairs.extend(items.iter().filter_map(|item| Some((key.clone(), text_of(item)?)))),
            other => pairs.extend(text_of(other).map(|text| (key.clone(), text))),
        }
    }
    pairs
}

fn body(fields: &input::Http) -> Result<(Vec<u8>, Option<&'static str>), Failure> {
    match (&fields.json, &fields.form, &fields.body) {
        (None, None, None) => Ok((Vec::new(), None)),
        (Some(json), None, None) => Ok((json.to_string().into_bytes(), Some("application/json"))),
        (None, Some(form), None) => {
            let mut text = url::form_urlencoded::Serializer::new(String::new());
            text.extend_pairs(pairs(form));
            Ok((text.finish().into_bytes(), Some("application/x-www-form-urlencoded")))
        }
        (None, None, Some(text)) => Ok((text.clone().into_bytes(), Some("text/plain; charset=utf-8"))),
        _ => Err(Failure::invalid("at most one of `json`, `form` and `body` may be set")),
    }
}
