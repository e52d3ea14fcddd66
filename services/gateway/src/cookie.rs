//! Sessions of browsers. A page's script that holds a token gives it away with its first fault; so a page asks that the token
//! of a login goes into a cookie that no script can read, and the cookie is taken for the credential of requests that come
//! from our own pages (OWASP, Session Management and Cross-Site Request Forgery Prevention). Pure.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use jiff::Timestamp;
use nexus_api::ErrorReason;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};

use crate::catalog::Operation;
use crate::origins::is_own;
use crate::problem::Problem;

/// The header with which a login asks for a cookie in place of a token: `nexus-session: cookie`.
pub const ASK: HeaderName = HeaderName::from_static("nexus-session");
/// Over HTTPS: the prefix has browsers refuse it from other hosts and over plain HTTP (RFC 6265bis, 4.1.3).
pub const SECURE: &str = "__Host-nexus-session";
/// Over plain HTTP, on the machine itself or behind somebody's own network.
const PLAIN: &str = "nexus-session";
/// Says when a page comes from our own origin, where it does not say which (Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What ends a session.
const LOGOUT: &str = "nexus.access.v1.LogoutRequest";

/// Takes the cookie of a request for its credential, when it shows no other; tells whether it did.
///
/// # Errors
/// FORBIDDEN when the request changes something and does not come from a page of ours.
pub fn admit(verb: &Method, uri: &Uri, headers: &mut HeaderMap) -> Result<bool, Problem> {
    if headers.contains_key(header::AUTHORIZATION) {
        return Ok(false);
    }
    let Some(token) = token(headers) else { return Ok(false) };
    let reads = matches!(*verb, Method::GET | Method::HEAD | Method::OPTIONS);
    if !reads && !from_our_page(uri, headers) {
        let detail = "a cookie is a credential for what the console's own pages ask, and this request does not say that it \
                      comes from one (Origin, Sec-Fetch-Site); show the token as `authorization: Bearer …` instead";
        return Err(Problem::of(
            StatusCode::FORBIDDEN,
            ErrorReason::PermissionMissing,
            detail.to_owned(),
        ));
    }
    let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| Problem::field("cookie", "the session's cookie holds no token"))?;
    bearer.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, bearer);
    Ok(true)
}

/// The token in a request's cookie.
fn token(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs: Vec<(&str, &str)> = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .collect();
    let of = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    // The one that nobody else can have set comes first.
    let token = of(SECURE).or_else(|| of(PLAIN))?;
    (!token.is_empty()).then(|| token.to_owned())
}

/// Browsers say where a request that changes something comes from, and no script can make them say otherwise.
fn from_our_page(uri: &Uri, headers: &HeaderMap) -> bool {
    match headers.get(header::ORIGIN).map(HeaderValue::to_str) {
        Some(origin) => origin.is_ok_and(|origin| is_own(origin, uri, headers)),
        None => headers.get(FETCH_SITE).is_some_and(|site| site == "same-origin"),
    }
}

/// What the answer sets, after a call that began or ended a session; the token leaves the message. `by_cookie` says whether the
/// call came with a cookie.
///
/// # Errors
/// When a cookie is asked for in words that are not known.
pub fn of_answer(
    operation: &Operation,
    asked: &HeaderMap,
    by_cookie: bool,
    answer: &mut DynamicMessage,
) -> Result<Vec<HeaderValue>, Problem> {
    if by_cookie && operation.input().full_name() == LOGOUT {
        return Ok(ended());
    }
    let field = match gives_token(operation) {
        Some(field) if wanted(asked)? => field,
        _ => return Ok(Vec::new()),
    };
    let Some(token) = answer.get_field(&field).as_str().map(str::to_owned) else {
        return Ok(Vec::new());
    };
    answer.clear_field(&field);
    let over_tls = asked
        .get(header::ORIGIN)
        .is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    Ok(begun(&token, ends(answer), over_tls).into_iter().collect())
}

/// The field of an answer that holds the token of a session, for calls that begin one.
#[must_use]
pub fn gives_token(operation: &Operation) -> Option<FieldDescriptor> {
    let answer = operation.method.output();
    let field = answer.get_field_by_name("token")?;
    (field.kind() == Kind::String && answer.get_field_by_name("session").is_some()).then_some(field)
}

/// Whether a login is to give a cookie.
///
/// # Errors
/// When it is asked for in words that are not known.
pub fn wanted(asked: &HeaderMap) -> Result<bool, Problem> {
    match asked.get(ASK).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"token") => Ok(false),
        Some(b"cookie") => Ok(true),
        Some(_) => Err(Problem::field("nexus-session", "is `cookie` or `token`")),
    }
}

/// When the session of an answer ends, in seconds since 1970.
fn ends(answer: &DynamicMessage) -> Option<i64> {
    let message = |value: &Value, name: &str| Some(value.as_message()?.get_field_by_name(name)?.into_owned());
    let session = answer.get_field_by_name("session")?.into_owned();
    message(&message(&session, "expire_time")?, "seconds")?.as_i64()
}

fn begun(token: &str, ends: Option<i64>, over_tls: bool) -> Option<HeaderValue> {
    let mut cookie = match over_tls {
        true => format!("{SECURE}={token}; Path=/; HttpOnly; SameSite=Strict; Secure"),
        false => format!("{PLAIN}={token}; Path=/; HttpOnly; SameSite=Strict"),
    };
    if let Some(at) = ends.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        cookie.push_str(&at.strftime("; Expires=%a, %d %b %Y %H:%M:%S GMT").to_string());
    }
    let mut value = HeaderValue::from_str(&cookie).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn ended() -> Vec<HeaderValue> {
    vec![
        HeaderValue::from_static("__Host-nexus-session=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0"),
        HeaderValue::from_static("nexus-session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(verb: Method, headers: &[(&'static str, &str)]) -> Result<Option<String>, u16> {
        let mut map = HeaderMap::new();
        map.insert("host", HeaderValue::from_static("nexus.example.com"));
        for (name, value) in headers {
            map.append(*name, value.parse().expect("value"));
        }
        let uri = Uri::from_static("/api/v1/workflows");
        match admit(&verb, &uri, &mut map) {
            Ok(true) => Ok(map[header::AUTHORIZATION].to_str().ok().map(str::to_owned)),
            Ok(false) => Ok(None),
            Err(problem) => Err(problem.status.as_u16()),
        }
    }

    #[test]
    fn a_cookie_is_a_credential_for_our_own_pages_only() {
        let cookie = ("cookie", "a=1; nexus-session=nxs_1; b=2");
        let is = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(asked(Method::GET, &[cookie]), is("Bearer nxs_1"));
        assert_eq!(
            asked(Method::GET, &[("cookie", "other=nxs_1; nexus-session=")]),
            Ok(None)
        );
        let ours = ("origin", "https://nexus.example.com");
        assert_eq!(asked(Method::POST, &[cookie, ours]), is("Bearer nxs_1"));
        assert_eq!(
            asked(Method::POST, &[cookie, ("sec-fetch-site", "same-origin")]),
            is("Bearer nxs_1")
        );
        for other in [
            ("origin", "https://evil.example.com"),
            ("origin", "null"),
            ("origin", "https://nexus.example.com:444"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "cross-site"),
            ("x-requested-with", "XMLHttpRequest"),
        ] {
            for verb in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                assert_eq!(asked(verb, &[cookie, other]), Err(403), "{other:?}");
            }
        }
        // Whoever shows a credential themselves did not have it added by their browser.
        assert_eq!(
            asked(Method::POST, &[cookie, ("authorization", "Bearer nxk_1")]),
            Ok(None)
        );
    }

    #[test]
    fn the_cookie_that_others_cannot_set_comes_first() {
        let both = ("cookie", "nexus-session=planted; __Host-nexus-session=nxs_1");
        assert_eq!(asked(Method::GET, &[both]), Ok(Some("Bearer nxs_1".to_owned())));
        let apart = [
            ("cookie", "nexus-session=planted"),
            ("cookie", "__Host-nexus-session=nxs_1"),
        ];
        assert_eq!(asked(Method::GET, &apart), Ok(Some("Bearer nxs_1".to_owned())));
    }

    #[test]
    fn scripts_and_other_sites_cannot_have_it_and_it_ends_with_its_session() {
        let cookie = begun("nxs_1", Some(1_790_000_000), true).expect("a cookie");
        assert_eq!(
            cookie.to_str().expect("text"),
            "__Host-nexus-session=nxs_1; Path=/; HttpOnly; SameSite=Strict; Secure; Expires=Mon, 21 Sep 2026 14:13:20 GMT"
        );
        let plain = begun("nxs_1", None, false).expect("a cookie");
        assert_eq!(
            plain.to_str().expect("text"),
            "nexus-session=nxs_1; Path=/; HttpOnly; SameSite=Strict"
        );
        assert!(plain.is_sensitive());
    }
}
