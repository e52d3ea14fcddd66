//! Who may be answered at all. A web page can have its reader's browser ask any address, one of this machine too: so what
//! comes from a page of another origin is refused unless the configuration names that origin, and where hosts are named,
//! as in `nexus dev`, a request for another host is refused, whatever address a name was made to lead to. Pure.

use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};

use crate::problem::Problem;

/// How long browsers may keep what they were told about an origin, in seconds.
const KEPT: HeaderValue = HeaderValue::from_static("600");
/// What a page of another origin may send and read, where it may ask at all.
const MAY_SEND: HeaderValue = HeaderValue::from_static(
    "accept, content-type, idempotency-key, if-match, if-none-match, last-event-id, nexus-namespace, nexus-timeout, \
     traceparent, authorization, x-grpc-web, x-user-agent, grpc-timeout",
);
const MAY_READ: HeaderValue =
    HeaderValue::from_static("etag, link, location, retry-after, grpc-status, grpc-message, grpc-status-details-bin");

/// Who may be answered.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    /// Hosts that may be asked for; any when empty.
    pub hosts: Vec<String>,
    /// Origins of web pages that may ask, such as `https://console.example.com`.
    pub origins: Vec<String>,
}

impl Origins {
    /// Lets a request in, with the headers that its answer gets.
    ///
    /// # Errors
    /// When it is refused.
    pub fn admit<B>(&self, request: &Request<B>) -> Result<HeaderMap, Problem> {
        let named = named(request.uri(), request.headers());
        self.check_hosts(&named)?;
        let Some(origin) = request.headers().get(header::ORIGIN) else {
            return Ok(HeaderMap::new());
        };
        let text = origin.to_str().unwrap_or_default();
        if self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(text)) {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, MAY_READ);
            headers.insert(header::VARY, HeaderValue::from_static("origin"));
            return Ok(headers);
        }
        if is_own(text, request.uri(), request.headers()) {
            return Ok(HeaderMap::new());
        }
        let detail = "web pages of other origins may not ask here; gateway.cors_origins names those that may";
        Err(Problem::plain(StatusCode::FORBIDDEN, detail))
    }

    /// The host of the address and that of the header must both fit: of those who differ one is a lie.
    fn check_hosts(&self, named: &[Authority]) -> Result<(), Problem> {
        if self.hosts.is_empty() {
            return Ok(());
        }
        if named.is_empty() {
            return Err(Problem::plain(
                StatusCode::BAD_REQUEST,
                "the request does not say for which host it is",
            ));
        }
        match named.iter().find(|authority| !self.answers_for(authority.host())) {
            None => Ok(()),
            Some(other) => {
                let mut hosts: Vec<&str> = Vec::new();
                for host in &self.hosts {
                    // The configuration may name one twice.
                    if !hosts.contains(&host.as_str()) {
                        hosts.push(host);
                    }
                }
                let detail = format!(
                    "this is not the host {:?}; it answers for {}",
                    other.host(),
                    hosts.join(", ")
                );
                Err(Problem::plain(StatusCode::FORBIDDEN, detail))
            }
        }
    }

    fn answers_for(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let below = |allowed: &str| host.strip_suffix(allowed).is_some_and(|rest| rest.ends_with('.'));
        let mut allowed = self.hosts.iter();
        allowed.any(|allowed| host == *allowed || (allowed == "localhost" && below(allowed)))
    }

    /// What a browser asks before it sends a page's request: the headers of the answer, for an origin that was let in.
    #[must_use]
    pub fn is_preflight<B>(request: &Request<B>) -> bool {
        let headers = request.headers();
        let asks = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        request.method() == Method::OPTIONS && headers.contains_key(header::ORIGIN) && asks
    }

    /// What a page of an origin that was let in may do.
    #[must_use]
    pub fn allowed(verbs: &HeaderValue) -> [(HeaderName, HeaderValue); 3] {
        [
            (header::ACCESS_CONTROL_ALLOW_METHODS, verbs.clone()),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, MAY_SEND),
            (header::ACCESS_CONTROL_MAX_AGE, KEPT),
        ]
    }
}

/// Whether an origin is the one that a request is for.
pub(crate) fn is_own(origin: &str, uri: &Uri, headers: &HeaderMap) -> bool {
    let named = named(uri, headers);
    origin
        .parse::<Uri>()
        .is_ok_and(|origin| named.first().is_some_and(|ours| is_same(&origin, ours)))
}

/// Hosts and ports that a request is for: of its address, when it has one, and of its header.
fn named(uri: &Uri, headers: &HeaderMap) -> Vec<Authority> {
    let header = headers.get_all(header::HOST).iter();
    let header = header.filter_map(|host| host.to_str().ok()?.parse().ok());
    uri.authority().cloned().into_iter().chain(header).collect()
}

/// Whether an origin is the one that a request is for. The scheme is not compared: what ends TLS may stand before us.
fn is_same(origin: &Uri, ours: &Authority) -> bool {
    let Some(theirs) = origin.authority() else {
        return false;
    };
    let usual = match origin.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
    theirs.host().eq_ignore_ascii_case(ours.host()) && port(theirs) == port(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(guard: &Origins, host: &str, origin: Option<&str>) -> Result<HeaderMap, u16> {
        let mut request = Request::post("/api/v1/workflows").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        guard
            .admit(&request.body(()).expect("request"))
            .map_err(|problem| problem.status.as_u16())
    }

    #[test]
    fn only_the_hosts_that_are_named_are_answered_for() {
        let guard = Origins {
            hosts: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into(),
            ..Origins::default()
        };
        for host in [
            "localhost",
            "LOCALHOST:7070",
            "127.0.0.1:7070",
            "[::1]:7070",
            "nexus.localhost:1",
        ] {
            assert!(ask(&guard, host, None).is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7070",
            "127.0.0.1.evil.example",
            "notlocalhost",
            "10.0.0.1",
        ] {
            assert_eq!(ask(&guard, host, None).expect_err(host), 403);
        }
        let twice = Request::get("http://localhost/")
            .header("host", "evil.example")
            .body(());
        let refused = guard.admit(&twice.expect("request")).expect_err("one of them is a lie");
        assert_eq!(refused.status.as_u16(), 403);
        assert_eq!(guard.admit(&Request::new(())).expect_err("none").status.as_u16(), 400);
        assert!(ask(&Origins::default(), "anything", None).is_ok());
    }

    #[test]
    fn a_host_that_is_named_twice_is_told_once() {
        let guard = Origins {
            hosts: ["localhost", "127.0.0.1", "127.0.0.1"].map(str::to_owned).into(),
            ..Origins::default()
        };
        let request = Request::get("/").header("host", "evil.example").body(());
        let refused = guard.admit(&request.expect("request")).expect_err("another host");
        assert!(
            refused.body.detail.ends_with("it answers for localhost, 127.0.0.1"),
            "{}",
            refused.body.detail
        );
    }

    #[test]
    fn pages_of_other_origins_are_refused_unless_they_are_named() {
        let guard = Origins {
            origins: vec!["https://console.example".to_owned()],
            ..Origins::default()
        };
        for (origin, fits) in [
            ("http://api.example:7070", true),
            ("https://api.example:7070", true),
            ("http://api.example", false),
            ("http://evil.example", false),
            ("http://api.example:7071", false),
            ("null", false),
            ("https://console.example", true),
            ("https://console.example.evil", false),
        ] {
            let admitted = ask(&guard, "api.example:7070", Some(origin));
            assert_eq!(admitted.is_ok(), fits, "{origin}");
        }
        let named = ask(&guard, "api.example", Some("https://console.example")).expect("named");
        assert_eq!(named["access-control-allow-origin"], "https://console.example");
        assert!(
            ask(&guard, "api.example", Some("http://api.example"))
                .expect("same")
                .is_empty()
        );
    }
}
