//! Bodies of answers.

use bytes::Bytes;
use http_body_util::Full;
use tonic::body::Body;

/// A body that is there as a whole.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Body::new(Full::new(bytes.into()))
}
