//! Where a redirect leads. Pure.

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, PROXY_AUTHORIZATION};
use reqwest::{Method, StatusCode};
use url::Url;

use super::request::Prepared;
use nexus_attempt::Failure;

/// The request that a redirect asks for; nothing when the answer is none. Credentials do not go to another origin.
pub(super) fn next(
    request: &Prepared,
    status: StatusCode,
    location: Option<&str>,
) -> Result<Option<Prepared>, Failure> {
    let (true, Some(location)) = (matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308), location) else {
        return Ok(None);
    };
    let url: Url = request.url.join(location).map_err(|error| {
        Failure::new(
            "InvalidUrl",
            format!("{} redirects to no address: {error}", super::plain(&request.url)),
        )
    })?;
    let mut next = request.clone();
    // As browsers do: 303 always, 301 and 302 after a POST become a GET without a body.
    let becomes_get = match status.as_u16() {
        303 => request.method != Method::HEAD,
        301 | 302 => request.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        next.method = Method::GET;
        next.body.clear();
        next.headers.remove(CONTENT_TYPE);
        next.headers.remove(CONTENT_LENGTH);
    }
    if url.origin() != request.url.origin() {
        // Any header may carry a key; only those that are known to be harmless stay.
        let harmless = ["accept", "accept-language", "content-type", "traceparent", "user-agent"];
        let names: Vec<_> = next.headers.keys().cloned().collect();
        for name in names {
            if !harmless.contains(&name.as_str()) {
                next.headers.remove(&name);
            }
        }
        debug_assert!(
            [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION]
                .iter()
                .all(|name| !next.headers.contains_key(name))
        );
    }
    next.url = url;
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method) -> Prepared {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert(AUTHORIZATION, "Bearer x".parse().expect("value"));
        headers.insert("x-api-key", "k".parse().expect("value"));
        Prepared {
            method,
            url: Url::parse("https://a.example/start?q=1").expect("url"),
            headers,
            body: b"body".to_vec(),
        }
    }

    #[test]
    fn methods_and_credentials_follow_the_rules() {
        let go = |method, status, location| {
            next(
                &request(method),
                StatusCode::from_u16(status).expect("status"),
                Some(location),
            )
            .expect("next")
            .expect("some")
        };
        let same = go(Method::POST, 307, "/next");
        assert_eq!(
            (same.method, same.body.len(), same.url.as_str()),
            (Method::POST, 4, "https://a.example/next")
        );
        assert!(same.headers.contains_key("x-api-key"));
        let other = go(Method::POST, 302, "https://b.example/");
        assert_eq!(
            (other.method, other.body.len(), other.headers.len()),
            (Method::GET, 0, 0)
        );
        assert!(
            go(Method::GET, 301, "http://a.example/").headers.is_empty(),
            "another scheme is another origin"
        );
        let plain = next(&request(Method::GET), StatusCode::OK, Some("/x")).expect("next");
        assert!(plain.is_none());
    }
}
