//! What is served beside the contracts: health, and the description of it all.

use http::{HeaderValue, Response, StatusCode, header};
use nexus_mesh::health::Readiness;
use serde_json::json;
use tonic::body::Body;

use crate::respond::{JSON, full};

/// The page of a path; none when it is no page.
pub(crate) fn find(path: &str, readiness: &Readiness) -> Option<Response<Body>> {
    let path = match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    let mut page = match path {
        // The process answers, whatever its roles say.
        "/healthz" => page(StatusCode::OK, JSON, "{\"status\":\"ok\"}\n"),
        "/readyz" => ready(readiness),
        _ => return None,
    };
    page.headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(page)
}

fn page(status: StatusCode, media_type: HeaderValue, text: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut page = Response::new(full(text));
    *page.status_mut() = status;
    page.headers_mut().insert(header::CONTENT_TYPE, media_type);
    page
}

/// What each role says, and together: 200, or 503 while one of them is not ready.
fn ready(readiness: &Readiness) -> Response<Body> {
    let report = readiness.report();
    let roles: serde_json::Map<_, _> = report
        .roles
        .iter()
        .map(|(role, reason)| ((*role).to_owned(), reason.as_deref().unwrap_or("ready").into()))
        .collect();
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let text = json!({"ready": report.ready, "roles": roles}).to_string();
    page(status, JSON, format!("{text}\n"))
}
