//! Opaque page tokens. A token holds the key of the last row and a fingerprint of the query it belongs to, so that it
//! cannot be used with another filter or another parent.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Rows on a page when the caller does not say.
pub const DEFAULT_SIZE: u32 = 50;
/// Most rows on a page.
pub const MAX_SIZE: u32 = 1_000;
/// Longest token that is looked at.
const MAX_TOKEN: usize = 4 * 1024;

/// Why a token cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageTokenError {
    /// It is not a token, or was cut or edited.
    #[error("the page token is damaged; start again without one")]
    Damaged,
    /// It came from another query.
    #[error("the page token belongs to another query; repeat the first call's filter and parent, or start without one")]
    OtherQuery,
}

#[derive(Serialize, Deserialize)]
struct Token<T> {
    #[serde(rename = "q")]
    query: String,
    #[serde(rename = "k")]
    key: T,
}

/// The token of the page after the row with this key. `query` is whatever decides which rows there are: the method,
/// the parent, the filter.
#[must_use]
pub fn encode<T: Serialize>(query: &[&str], key: &T) -> String {
    let token = Token {
        query: fingerprint(query),
        key,
    };
    // Keys are plain structs of text and numbers, which always serialize.
    let json = serde_json::to_vec(&token).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(json)
}

/// The key in a token; nothing when the token is empty (the first page).
///
/// # Errors
/// When the token is damaged or belongs to another query.
pub fn decode<T: DeserializeOwned>(query: &[&str], token: &str) -> Result<Option<T>, PageTokenError> {
    if token.is_empty() {
        return Ok(None);
    }
    if token.len() > MAX_TOKEN {
        return Err(PageTokenError::Damaged);
    }
    let json = URL_SAFE_NO_PAD.decode(token).map_err(|_| PageTokenError::Damaged)?;
    let loose: Token<serde_json::Value> = serde_json::from_slice(&json).map_err(|_| PageTokenError::Damaged)?;
    if loose.query != fingerprint(query) {
        return Err(PageTokenError::OtherQuery);
    }
    serde_json::from_value(loose.key)
        .map(Some)
        .map_err(|_| PageTokenError::Damaged)
}

/// How many rows a page holds: what was asked for within bounds. Nothing when a negative number was asked for.
#[must_use]
pub fn size(asked: i32) -> Option<u32> {
    match u32::try_from(asked) {
        Ok(0) => Some(DEFAULT_SIZE),
        Ok(asked) => Some(asked.min(MAX_SIZE)),
        Err(_) => None,
    }
}

fn fingerprint(query: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in query {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(&hash.finalize()[..9])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_works_for_its_own_query_only() {
        let token = encode(&["ListX", "a = 1"], &("daily", 7));
        assert_eq!(
            decode::<(String, i64)>(&["ListX", "a = 1"], &token),
            Ok(Some(("daily".to_owned(), 7)))
        );
        assert_eq!(
            decode::<(String, i64)>(&["ListX", "a = 2"], &token),
            Err(PageTokenError::OtherQuery)
        );
        assert_eq!(
            decode::<(String, i64)>(&["ListXa", " = 1"], &token),
            Err(PageTokenError::OtherQuery)
        );
        assert_eq!(decode::<i64>(&["ListX", "a = 1"], &token), Err(PageTokenError::Damaged));
        assert_eq!(decode::<i64>(&[], ""), Ok(None));
    }

    #[test]
    fn sizes_stay_within_bounds() {
        assert_eq!(
            [0, 1, 1_000, 1_001, -1].map(size),
            [Some(50), Some(1), Some(1_000), Some(1_000), None]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_refused_without_panic(token in "\\PC{1,64}") {
            prop_assert!(decode::<i64>(&["q"], &token).is_err());
        }
    }
}
