//! A client for plain HTTP, one connection a request, for tests that look at every byte of an answer.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::Dev;

/// An answer that came whole.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; what is no UTF-8 in it stands as U+FFFD.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// A header, when it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }
}

/// The version that a request is made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    One,
    /// HTTP/2, known to be spoken.
    Two,
}

/// Asks, and gives the answer with its body still to come.
pub async fn send(address: &str, version: Version, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let authority = address.trim_start_matches("http://").trim_end_matches('/');
    let stream = TcpStream::connect(authority).await.expect("connected");
    match version {
        Version::One => {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .expect("HTTP/1.1");
            tokio::spawn(connection);
            sender.send_request(request).await.expect("an answer")
        }
        Version::Two => {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .expect("HTTP/2");
            tokio::spawn(connection);
            sender.send_request(request).await.expect("an answer")
        }
    }
}

/// A request to an address: verb, path with query, headers, body.
#[must_use]
pub fn request(address: &str, verb: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    let authority = address.trim_start_matches("http://").trim_end_matches('/');
    let mut request = Request::builder().method(verb).uri(format!("http://{authority}{path}"));
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        request = request.header("host", authority);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
        .body(Full::new(Bytes::from(body.to_owned())))
        .expect("a request")
}

/// Reads an answer to its end.
pub async fn whole(answer: Response<Incoming>) -> Answer {
    let (head, body) = answer.into_parts();
    let bytes = tokio::time::timeout(Duration::from_secs(60), body.collect())
        .await
        .expect("in time")
        .expect("the whole body");
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        text: String::from_utf8_lossy(&bytes.to_bytes()).into_owned(),
    }
}

impl Dev {
    /// Asks over HTTP/1.1.
    pub async fn ask(&self, verb: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let request = request(self.address(), verb, path, headers, body);
        whole(send(self.address(), Version::One, request).await).await
    }

    /// Gets something over HTTP/1.1.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    /// Posts JSON over HTTP/1.1.
    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[("content-type", "application/json")], body)
            .await
    }
}
