//! From the task's fields to a target and metadata. Pure.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::Value;
use tonic::metadata::{
    Ascii, AsciiMetadataKey, AsciiMetadataValue, Binary, BinaryMetadataKey, MetadataMap, MetadataValue,
};
use url::Url;

use crate::input::{Fields, Tls};
use nexus_attempt::{Failure, RunContext, text_of};

/// Where calls go, and how: calls with the same target share a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    /// `scheme://host[:port]`, nothing else.
    pub(super) address: String,
    pub(super) tls: Tls,
}

/// A call that is ready to be made.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) target: Target,
    /// The service with its package.
    pub(super) service: String,
    pub(super) method: String,
    pub(super) metadata: MetadataMap,
    /// The names that the task sets itself.
    own: Vec<String>,
}

impl Prepared {
    /// Adds metadata of NEXUS's own, unless the task has its own under this name.
    pub(super) fn offer(&mut self, name: &'static str, value: &str) {
        if value.is_empty() || self.own.iter().any(|own| own == name) {
            return;
        }
        if let Ok(value) = value.parse::<MetadataValue<Ascii>>() {
            self.metadata.insert(name, value);
        }
    }
}

pub(super) fn prepare(fields: &Fields, ctx: &RunContext) -> Result<Prepared, Failure> {
    let address = address(&fields.target)?;
    let tls = fields.tls.clone().unwrap_or_default();
    if address.starts_with("http://") && fields.tls.is_some() {
        return Err(Failure::invalid("`tls` needs a `target` that begins with https://"));
    }
    let Some((service, method)) = fields.method.split_once('/') else {
        return Err(Failure::invalid("`method` must be written as package.Service/Method"));
    };
    let mut prepared = Prepared {
        target: Target { address, tls },
        service: service.to_owned(),
        method: method.to_owned(),
        metadata: MetadataMap::new(),
        own: Vec::new(),
    };
    for (name, value) in &fields.metadata {
        if let Some(text) = text_of(value) {
            add(&mut prepared.metadata, name, &text)?;
        }
        prepared.own.push(name.clone());
    }
    prepared.offer("traceparent", &ctx.traceparent);
    Ok(prepared)
}

/// The origin of a target. No message quotes the target as a whole, which may hold a secret where none belongs.
fn address(target: &str) -> Result<String, Failure> {
    let invalid = |problem: String| Failure::new("InvalidUrl", format!("`target` {problem}")).final_();
    let url = Url::parse(target.trim()).map_err(|error| invalid(format!("is not an address: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("must begin with http:// or https://".to_owned()));
    }
    if url.host().is_none() {
        return Err(invalid("has no host".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("holds credentials; they belong into `metadata`".to_owned()));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("must be http(s)://host:port and nothing more".to_owned()));
    }
    Ok(url.origin().ascii_serialization())
}

fn add(metadata: &mut MetadataMap, name: &str, text: &str) -> Result<(), Failure> {
    let bad = |what: &str| Failure::invalid(format!("metadata `{name}` has {what} that gRPC does not allow"));
    if name.starts_with("grpc-") {
        return Err(bad("a name"));
    }
    if name.ends_with("-bin") {
        let key = BinaryMetadataKey::from_bytes(name.as_bytes()).map_err(|_| bad("a name"))?;
        let bytes = STANDARD
            .decode(text.trim())
            .or_else(|_| STANDARD_NO_PAD.decode(text.trim()))
            .map_err(|_| bad("a value (names that end in -bin take base64)"))?;
        metadata.insert_bin(key, MetadataValue::<Binary>::from_bytes(&bytes));
        return Ok(());
    }
    let key = AsciiMetadataKey::from_bytes(name.as_bytes()).map_err(|_| bad("a name"))?;
    let value: AsciiMetadataValue = text.parse().map_err(|_| bad("a value"))?;
    metadata.insert(key, value);
    Ok(())
}

impl Target {
    /// The address in its parts.
    pub(super) fn url(&self) -> Result<Url, Failure> {
        Url::parse(&self.address).map_err(|error| Failure::invalid(format!("`target` is not an address: {error}")))
    }
}

/// The request's JSON: no message is an empty one.
pub(super) fn or_empty(message: &Value) -> Value {
    match message {
        Value::Null => Value::Object(serde_json::Map::new()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_origins_and_nothing_more() {
        for (target, origin) in [
            ("https://X.dev/", "https://x.dev"),
            ("https://x.dev:443", "https://x.dev"),
            ("http://[::1]:50051", "http://[::1]:50051"),
            (" http://0x7f.1:80 ", "http://127.0.0.1"),
        ] {
            assert_eq!(address(target).expect(target), origin);
        }
        for bad in [
            "x.dev:443",
            "dns:///x",
            "https://x.dev/a",
            "https://x.dev/?q",
            "http://user:pass-word@x",
            "",
        ] {
            let failure = address(bad).expect_err(bad);
            assert_eq!(
                (failure.error_type.as_str(), failure.non_retryable),
                ("InvalidUrl", true)
            );
            assert!(!failure.message.contains("pass-word"));
        }
    }

    #[test]
    fn metadata_is_text_or_bytes() {
        let mut metadata = MetadataMap::new();
        add(&mut metadata, "authorization", "Bearer x").expect("text");
        add(&mut metadata, "trace-bin", "AAE").expect("bytes without padding");
        assert_eq!(metadata.get("authorization").expect("there"), "Bearer x");
        assert_eq!(
            metadata
                .get_bin("trace-bin")
                .expect("there")
                .to_bytes()
                .expect("bytes")
                .as_ref(),
            [0, 1]
        );
        for (name, value) in [
            ("grpc-timeout", "1S"),
            ("a b", "x"),
            ("a", "line\nbreak"),
            ("a-bin", "?"),
        ] {
            let failure = add(&mut metadata, name, value).expect_err(name);
            assert_eq!(failure.error_type, "InvalidTask");
        }
    }
}
