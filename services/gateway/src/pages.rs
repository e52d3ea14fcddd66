//! What is served beside the contracts: health, the description of it all, and the page that shows it.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use nexus_mesh::health::Readiness;
use serde_json::json;
use tonic::body::Body;

use crate::body::full;
use crate::respond::JSON;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const REFERENCE: &str = include_str!("../assets/docs.html");
const RAPIDOC: &[u8] = include_bytes!("../assets/rapidoc-min.js.gz");
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page of a path; none when it is no page.
pub(crate) fn find(path: &str, readiness: &Readiness, describe: impl FnOnce() -> Bytes) -> Option<Response<Body>> {
    let path = match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    let mut page = match path {
        // The process answers, whatever its roles say.
        "/healthz" => page(StatusCode::OK, JSON, "{\"status\":\"ok\"}\n"),
        "/readyz" => ready(readiness),
        "/openapi.json" => page(StatusCode::OK, JSON, describe()),
        "/docs" => reference(),
        "/docs/rapidoc.js" => packed(RAPIDOC),
        "/" => {
            let mut page = page(StatusCode::SEE_OTHER, TEXT, "see /docs\n");
            page.headers_mut()
                .insert(header::LOCATION, HeaderValue::from_static("/docs"));
            page
        }
        _ => return None,
    };
    page.headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(page)
}

/// The page that shows the description. Nothing in it comes from elsewhere, nothing in it runs that is not a file of this
/// server, and no other page may frame it. Its styles are made by its own script.
fn reference() -> Response<Body> {
    let mut page = page(
        StatusCode::OK,
        HeaderValue::from_static("text/html; charset=utf-8"),
        REFERENCE,
    );
    let headers = page.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    page
}

/// A file that is stored compressed, as every browser takes it.
fn packed(bytes: &'static [u8]) -> Response<Body> {
    let mut page = page(
        StatusCode::OK,
        HeaderValue::from_static("text/javascript; charset=utf-8"),
        bytes,
    );
    page.headers_mut()
        .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    page
}

fn page(status: StatusCode, media_type: HeaderValue, text: impl Into<Bytes>) -> Response<Body> {
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
