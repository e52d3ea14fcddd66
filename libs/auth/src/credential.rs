//! The credential that a call shows.

use http::{HeaderMap, header};
use nexus_api::ErrorReason;
use nexus_api::error::ApiError;

/// Bytes of a credential at most; a provider's token with many groups is a long one.
pub(crate) const MAX: usize = 8 << 10;

/// What stands behind `Bearer ` in `authorization`; none when there is no such header.
///
/// # Errors
/// CREDENTIAL_INVALID for a header that is none of that kind, and for several.
pub(crate) fn shown(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = shown.next() else {
        return Ok(None);
    };
    let wrong = |problem: &str| Err(invalid(format!("the header authorization {problem}")));
    if shown.next().is_some() {
        return wrong("is said more than once");
    }
    let Ok(text) = first.to_str() else {
        return wrong("is not ASCII text");
    };
    let credential = match text.split_once(' ') {
        Some((scheme, credential)) if scheme.eq_ignore_ascii_case("bearer") => credential.trim(),
        _ => return wrong("is not written as `Bearer <credential>`"),
    };
    match credential.len() {
        0 => wrong("has no credential"),
        1..=MAX => Ok(Some(credential)),
        _ => wrong(&format!("has a credential of more than {MAX} bytes")),
    }
}

/// Says that a credential is none.
pub(crate) fn invalid(message: String) -> ApiError {
    ApiError::new(ErrorReason::CredentialInvalid, message)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
        }
        let shown = shown(&headers).map(|shown| shown.map(str::to_owned));
        shown.map_err(|error| error.to_string())
    }

    #[test]
    fn a_credential_stands_behind_bearer_and_once() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["Bearer abc"]), Ok(Some("abc".to_owned())));
        assert_eq!(of(&["bearer  abc "]), Ok(Some("abc".to_owned())));
        for wrong in [
            &["Basic abc"][..],
            &["Bearer"],
            &["Bearer "],
            &["abc"],
            &["Bearer a", "Bearer b"],
        ] {
            assert!(of(wrong).is_err(), "{wrong:?}");
        }
        assert!(of(&[&format!("Bearer {}", "a".repeat(MAX))]).is_ok());
        assert!(of(&[&format!("Bearer {}", "a".repeat(MAX + 1))]).is_err());
    }
}
