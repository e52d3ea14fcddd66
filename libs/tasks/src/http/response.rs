//! From a response to the task's output or failure.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use nexus_attempt::{Failure, cut_end};

/// How much of an unexpected body the failure shows.
const BODY_HEAD: usize = 2 * 1024;
/// A server cannot ask for a longer wait.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The statuses that count as success.
pub(super) struct Expected(Vec<(u16, u16)>);

impl Expected {
    pub(super) fn parse(patterns: &[Value]) -> Result<Self, Failure> {
        if patterns.is_empty() {
            return Ok(Self(vec![(200, 299)]));
        }
        patterns.iter().map(range).collect::<Result<_, _>>().map(Self)
    }

    fn matches(&self, status: u16) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&status))
    }
}

fn range(pattern: &Value) -> Result<(u16, u16), Failure> {
    let text = nexus_attempt::text_of(pattern).unwrap_or_default();
    if let Some(class) = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok())
        && (1..=5).contains(&class)
    {
        return Ok((class * 100, class * 100 + 99));
    }
    match text.parse::<u16>() {
        Ok(code) if (100..600).contains(&code) => Ok((code, code)),
        _ => Err(Failure::invalid(format!(
            "`expect` takes statuses such as 204 and classes such as 2xx, not `{text}`"
        ))),
    }
}

/// Reads the body, at most `max_size` bytes of it, and judges the status. `effect`: the request has changed something
/// when its status is as expected.
pub(super) async fn read(
    mut response: Response,
    expected: &Expected,
    max_size: u64,
    effect: bool,
    now: Timestamp,
) -> Result<String, Failure> {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let url = response.url().clone();
    let mut body = Vec::new();
    let mut complete = true;
    let mut broken = None;
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => {
                broken = Some(super::failure::of(&error, &url));
                break;
            }
        }
        if body.len() as u64 > max_size {
            complete = false;
            break;
        }
    }
    // What an unexpected status says counts also when its body breaks off.
    if !expected.matches(status) {
        return Err(unexpected(status, &headers, &body, now));
    }
    if let Some(failure) = broken {
        return Err(super::failure::after(failure, effect));
    }
    if !complete {
        let message = format!("the response body is larger than the {max_size} bytes allowed (`max_size`)");
        return Err(Failure::new("ResponseTooLarge", message).final_());
    }
    Ok(output(status, &headers, &body))
}

/// The failure for a status that was not expected.
fn unexpected(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Failure {
    let head = cut_end(&String::from_utf8_lossy(body), BODY_HEAD);
    let reason = reqwest::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    let message = match reason {
        Some(reason) => format!("the server answered {status} {reason}"),
        None => format!("the server answered {status}"),
    };
    let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    Failure {
        next_retry_delay: retry_after
            .filter(|_| matches!(status, 429 | 503))
            .and_then(|text| delay(text, now)),
        details: Some(json!({"status": status, "headers": joined(headers), "body": head})),
        ..Failure::new(format!("HttpStatus.{status}"), message)
    }
}

/// `Retry-After`: seconds or a date.
fn delay(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// `{status, headers, json}` when the body says that it is JSON and is, otherwise `{status, headers, text}`. The JSON
/// goes on as it was written, so that numbers keep their digits.
fn output(status: u16, headers: &HeaderMap, body: &[u8]) -> String {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let head = format!(r#"{{"status":{status},"headers":{}"#, joined(headers));
    if essence == "application/json" || essence.ends_with("+json") {
        let text = std::str::from_utf8(body).ok();
        // Parsed once in full, so that what cannot be read later (too deep, a lone surrogate) is text now.
        if let Some(text) = text.filter(|text| serde_json::from_str::<Value>(text).is_ok())
            && let Ok(raw) = serde_json::from_str::<&RawValue>(text)
        {
            return format!(r#"{head},"json":{}}}"#, raw.get());
        }
    }
    let text = Value::String(String::from_utf8_lossy(body).into_owned());
    format!(r#"{head},"text":{text}}}"#)
}

/// Headers by lower-case name; repeated ones joined by a comma.
fn joined(headers: &HeaderMap) -> Value {
    let names = headers.keys().map(|name| {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        (name.as_str().to_owned(), Value::String(values.join(", ")))
    });
    Value::Object(names.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_capped() {
        let now: Timestamp = "2026-11-24T10:00:00Z".parse().expect("time");
        assert_eq!(delay("7", now), Some(Duration::from_secs(7)));
        assert_eq!(
            delay("Tue, 24 Nov 2026 10:01:30 GMT", now),
            Some(Duration::from_secs(90))
        );
        assert_eq!(delay("Tue, 24 Nov 2026 09:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(delay("999999", now), Some(MAX_RETRY_AFTER));
        assert_eq!(delay("soon", now), None);
    }

    #[test]
    fn statuses_and_classes_are_understood() {
        let expected = Expected::parse(&[json!(204), json!("3xx"), json!("404")]).expect("expected");
        assert!([204, 300, 399, 404].iter().all(|status| expected.matches(*status)));
        assert!([200, 400, 205].iter().all(|status| !expected.matches(*status)));
        for bad in [json!("9xx"), json!(99), json!("ok"), json!(null)] {
            assert!(Expected::parse(std::slice::from_ref(&bad)).is_err(), "{bad}");
        }
    }
}
