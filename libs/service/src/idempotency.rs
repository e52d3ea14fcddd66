//! Idempotency keys: a caller that repeats a request under the same `request_id` gets the same answer, and an error when it
//! is another request.

use nexus_api::error::ApiError;
use nexus_api::namespace::KEY_SEPARATOR;
use nexus_api::{ErrorReason, Namespace};

/// Characters of a key at most.
pub const MAX_KEY: usize = 128;

/// A key with the request that it was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The key: the caller's in the namespace `default`, one that says the namespace too elsewhere.
    pub key: String,
    /// Digest of the request's body.
    pub fingerprint: String,
}

impl RequestKey {
    /// The key of a request to a namespace; nothing when the caller gave none.
    #[must_use]
    pub fn of(namespace: &Namespace, request_id: &str, fingerprint: impl FnOnce() -> String) -> Option<Self> {
        (!request_id.is_empty()).then(|| Self {
            key: namespace.key(request_id),
            fingerprint: fingerprint(),
        })
    }
}

/// Checks a key before anything is looked up with it.
///
/// # Errors
/// INVALID_ARGUMENT when it cannot be stored.
pub fn check(request_id: &str) -> Result<(), ApiError> {
    if request_id.chars().count() > MAX_KEY {
        return Err(ApiError::field(
            "request_id",
            format!("has more than {MAX_KEY} characters"),
        ));
    }
    if request_id.contains('\0') {
        return Err(ApiError::field("request_id", "must not hold NUL characters"));
    }
    // It would let a key of one namespace be read as one of another.
    if request_id.contains(KEY_SEPARATOR) {
        return Err(ApiError::field("request_id", "must not hold the character U+001F"));
    }
    Ok(())
}

/// The key was used for another request: `for_what` says in which way it differs.
#[must_use]
pub fn reused(for_what: &str) -> ApiError {
    let message = format!("request_id was used before, {for_what}; choose a new one");
    ApiError::new(ErrorReason::RequestIdReused, message).violation("request_id", "was used before with another body")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded_and_none_is_none() {
        let (here, there) = (Namespace::default(), "there".parse().expect("a namespace"));
        assert_eq!(RequestKey::of(&here, "", || unreachable!("no key, no digest")), None);
        let key = RequestKey::of(&here, "a", || "digest".to_owned()).expect("a key");
        assert_ne!(RequestKey::of(&there, "a", || "digest".to_owned()).as_ref(), Some(&key));
        assert_eq!((key.key.as_str(), key.fingerprint.as_str()), ("a", "digest"));
        assert!(check(&"ü".repeat(MAX_KEY)).is_ok());
        assert!(check(&"x".repeat(MAX_KEY + 1)).is_err());
        assert!(check("a\0").is_err() && check("a\u{1f}").is_err());
        assert_eq!(
            reused("to create another workflow").reason(),
            ErrorReason::RequestIdReused
        );
    }
}
