//! What went wrong as RFC 9457 has it, `application/problem+json`: made from the `google.rpc` details of a status, or from
//! what the gateway itself refuses. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use nexus_api::ErrorReason;
use nexus_api::error::{reason_name, reason_of};
use serde::Serialize;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::json::{Mistake, Place};

/// The media type of problems.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A problem on its way to a caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Box<Told>,
    /// Headers that go with it: `Allow`, `Retry-After`.
    pub headers: HeaderMap,
}

/// A problem's body.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Told {
    /// `urn:nexus:reason:…`, one for each reason; `about:blank` where the status says it all.
    pub r#type: String,
    /// The same in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What, where and what to do.
    pub detail: String,
    /// The path that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The stable reason, as `google.rpc.ErrorInfo` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Facts for programs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What is wrong, place by place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// The trace that tells more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The field of the request, or a JSON pointer into a workflow file.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// A diagnostic's stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Problem {
    /// A problem of which the status says it all.
    #[must_use]
    pub fn plain(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            body: Box::new(Told {
                r#type: "about:blank".to_owned(),
                title: status.canonical_reason().unwrap_or("Problem").to_owned(),
                status: status.as_u16(),
                detail: detail.into(),
                ..Told::default()
            }),
            headers: HeaderMap::new(),
        }
    }

    /// A problem with a stable reason.
    #[must_use]
    pub fn of(status: StatusCode, reason: ErrorReason, detail: impl Into<String>) -> Self {
        let mut problem = Self::plain(status, detail);
        problem.name(reason_name(reason));
        problem
    }

    /// A field of the request that is missing, malformed or out of bounds.
    #[must_use]
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::mistake(Mistake {
            field: field.to_owned(),
            problem: message.into(),
            place: None,
        })
    }

    /// What is wrong with a body.
    #[must_use]
    pub fn mistake(mistake: Mistake) -> Self {
        let detail = match (mistake.field.as_str(), mistake.place) {
            ("", None) => mistake.problem.clone(),
            ("", Some(Place { line, column })) => format!("{} (line {line}, column {column})", mistake.problem),
            (field, None) => format!("{field}: {}", mistake.problem),
            (field, Some(Place { line, column })) => {
                format!("{field}: {} (line {line}, column {column})", mistake.problem)
            }
        };
        let mut problem = Self::of(StatusCode::BAD_REQUEST, ErrorReason::InvalidField, detail);
        problem.body.errors.push(Fault {
            field: mistake.field,
            message: mistake.problem,
            line: mistake.place.map(|place| place.line),
            column: mistake.place.map(|place| place.column),
            ..Fault::default()
        });
        problem
    }

    /// What a service answered.
    #[must_use]
    pub fn of_status(status: &Status) -> Self {
        let mut problem = Self::plain(http_status(status), status.message());
        let details = status.get_error_details();
        if let Some(info) = details.error_info() {
            problem.name(&info.reason);
            problem.body.metadata = info.metadata.clone().into_iter().collect();
        }
        if let Some(request) = details.bad_request() {
            let faults = request.field_violations.iter();
            problem.body.errors = faults
                .map(|violation| fault(&violation.field, &violation.description))
                .collect();
        }
        if let Some(failure) = details.precondition_failure() {
            let faults = failure.violations.iter();
            problem.body.errors.extend(faults.map(|violation| Fault {
                field: violation.subject.clone(),
                message: violation.description.clone(),
                code: Some(violation.r#type.clone()),
                ..Fault::default()
            }));
        }
        match details.retry_info().and_then(|info| info.retry_delay) {
            Some(delay) => problem.retry_after(delay),
            // It may be better in a moment: so say clients' own rules for these statuses.
            None if problem.status == StatusCode::SERVICE_UNAVAILABLE => problem.retry_after(Duration::from_secs(1)),
            None => {}
        }
        if problem.status == StatusCode::UNAUTHORIZED {
            // How to come in (RFC 6750, 3).
            let bearer = HeaderValue::from_static("Bearer realm=\"nexus\"");
            problem.headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        problem
    }

    fn name(&mut self, reason: &str) {
        self.body.r#type = format!("urn:nexus:reason:{reason}");
        let words = reason.to_lowercase().replace('_', " ");
        let mut letters = words.chars();
        self.body.title = letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect())
            .unwrap_or_default();
        self.body.reason = Some(reason.to_owned());
    }

    /// Says when to come again: whole seconds, more rather than less.
    pub fn retry_after(&mut self, delay: Duration) {
        let seconds = delay.as_millis().div_ceil(1_000).max(1);
        if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
            self.headers.insert(header::RETRY_AFTER, value);
        }
    }

    /// Says which request it is about.
    #[must_use]
    pub fn about(mut self, path: &str, trace_id: Option<String>) -> Self {
        self.body.instance = Some(path.chars().take(512).collect());
        self.body.trace_id = trace_id;
        self
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        // Texts and numbers always are JSON.
        serde_json::to_vec(&self.body).unwrap_or_default()
    }

    /// The answer.
    #[must_use]
    pub fn answer(self) -> Response<Body> {
        let mut text = self.json();
        text.push(b'\n');
        let mut answer = Response::new(crate::body::full(text));
        *answer.status_mut() = self.status;
        answer
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        answer.headers_mut().extend(self.headers);
        answer
    }
}

/// A violation of a field. Those of a workflow file begin with the place and the code of a diagnostic.
fn fault(field: &str, description: &str) -> Fault {
    diagnostic(field, description).unwrap_or_else(|| Fault {
        field: field.to_owned(),
        message: description.to_owned(),
        ..Fault::default()
    })
}

/// `12:5 NX1203: what is wrong; help: how to mend it`
fn diagnostic(field: &str, description: &str) -> Option<Fault> {
    let (place, rest) = description.split_once(' ')?;
    let (line, column) = place.split_once(':')?;
    let (code, text) = rest.split_once(": ")?;
    let digits = code.strip_prefix("NX")?;
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (message, help) = text
        .rsplit_once("; help: ")
        .map_or((text, None), |(message, help)| (message, Some(help)));
    Some(Fault {
        field: field.to_owned(),
        message: message.to_owned(),
        code: Some(code.to_owned()),
        line: Some(line.parse().ok()?).filter(|line| *line > 0),
        column: Some(column.parse().ok()?).filter(|column| *column > 0),
        help: help.map(str::to_owned),
    })
}

/// The status of HTTP that says the same. As `google.rpc.Code` has it, save where HTTP has a better word.
#[must_use]
pub fn http_status(status: &Status) -> StatusCode {
    match reason_of(status) {
        Some(ErrorReason::EtagMismatch) => return StatusCode::PRECONDITION_FAILED,
        Some(ErrorReason::PayloadTooLarge) => return StatusCode::PAYLOAD_TOO_LARGE,
        _ => {}
    }
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable | Code::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use nexus_api::error::ApiError;
    use serde_json::json;

    use super::*;

    fn told(status: Status) -> serde_json::Value {
        serde_json::from_slice(&Problem::of_status(&status).json()).expect("json")
    }

    #[test]
    fn a_status_is_told_with_its_reason_its_fields_and_when_to_come_again() {
        let error = ApiError::new(ErrorReason::Overloaded, "too much at present").with("limit", "7");
        let problem = Problem::of_status(&error.retry_after(Duration::from_millis(1_200)).into());
        assert_eq!(problem.headers[header::RETRY_AFTER], "2");
        let problem = problem.about("/api/v1/x", Some("4bf9".to_owned()));
        let told: serde_json::Value = serde_json::from_slice(&problem.json()).expect("json");
        let expected = json!({
            "type": "urn:nexus:reason:OVERLOADED",
            "title": "Overloaded",
            "status": 429,
            "detail": "too much at present",
            "instance": "/api/v1/x",
            "reason": "OVERLOADED",
            "metadata": {"limit": "7"},
            "trace_id": "4bf9",
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn diagnostics_of_a_file_stand_apart() {
        let error = ApiError::new(ErrorReason::InvalidWorkflow, "the workflow file has errors")
            .violation(
                "/tasks/load/needs/0",
                "4:13 NX1203: unknown task \"exract\"; help: did you mean \"extract\"?",
            )
            .violation("/name", "1:0 NX1001: no name")
            .violation("source", "must not be empty");
        let told = told(error.into());
        let expected = json!([
            {"field": "/tasks/load/needs/0", "message": "unknown task \"exract\"", "code": "NX1203", "line": 4,
             "column": 13, "help": "did you mean \"extract\"?"},
            {"field": "/name", "message": "no name", "code": "NX1001", "line": 1},
            {"field": "source", "message": "must not be empty"},
        ]);
        assert_eq!(told["errors"], expected);
        assert_eq!(told["status"], 400);
    }

    #[test]
    fn statuses_have_the_word_that_http_has_for_them() {
        for (reason, status) in [
            (ErrorReason::WorkflowNotFound, 404),
            (ErrorReason::WorkflowExists, 409),
            (ErrorReason::RequestIdReused, 409),
            (ErrorReason::ExecutionClosed, 409),
            (ErrorReason::EtagMismatch, 412),
            (ErrorReason::PayloadTooLarge, 413),
            (ErrorReason::StorageUnavailable, 503),
            (ErrorReason::DeadlineExceeded, 504),
            (ErrorReason::Internal, 500),
        ] {
            let error = Status::from(ApiError::new(reason, "x"));
            assert_eq!(http_status(&error).as_u16(), status, "{reason:?}");
        }
        assert_eq!(http_status(&Status::unimplemented("x")).as_u16(), 501);
        assert_eq!(told(Status::unknown("x"))["type"], "about:blank");
    }
}
