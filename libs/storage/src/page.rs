//! Pages of a list: sizes, and tokens that name the place where the next page begins. Lists page by key, never by
//! offset, so a page stays right while rows come and go (AIP-158).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Rows of a page when the caller does not say.
pub const DEFAULT_SIZE: u32 = 50;
/// Rows of a page at most.
pub const MAX_SIZE: u32 = 1_000;

/// A page was asked for in a way that cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// A negative size.
    #[error("page_size must not be negative, it is {0}")]
    Size(i32),
    /// The token is damaged, or was given for another query.
    #[error("page_token is damaged or belongs to another query; start again without one")]
    Token,
}

/// The number of rows for a wish: 50 for 0, and never more than 1,000.
///
/// # Errors
/// When the wish is negative.
pub fn size(wished: i32) -> Result<u32, PageError> {
    match u32::try_from(wished) {
        Err(_) => Err(PageError::Size(wished)),
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
    }
}

/// A token for the page after `key`, good for the same query only. `query` names the list and all its arguments but the
/// size and the token.
#[must_use]
pub fn token(query: &str, key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{:016x}{key}", digest(query, key)))
}

/// The key that a token names; `None` for the first page.
///
/// # Errors
/// When the token is damaged or belongs to another query.
pub fn key(query: &str, token: &str) -> Result<Option<String>, PageError> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| PageError::Token)?;
    let text = String::from_utf8(bytes).map_err(|_| PageError::Token)?;
    let (digits, key) = text.split_at_checked(16).ok_or(PageError::Token)?;
    if digits == format!("{:016x}", digest(query, key)) {
        Ok(Some(key.to_owned()))
    } else {
        Err(PageError::Token)
    }
}

/// FNV-1a over query and key: it finds mistakes, it does not keep anybody out. A key gives no access to anything that
/// the query itself does not.
fn digest(query: &str, key: &str) -> u64 {
    query
        .bytes()
        .chain([0])
        .chain(key.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_key_for_its_query_only() {
        let given = token("workflows|a", "some key/with ü");
        assert_eq!(key("workflows|a", &given), Ok(Some("some key/with ü".into())));
        assert_eq!(key("workflows|b", &given), Err(PageError::Token));
        assert_eq!(key("workflows|a", ""), Ok(None));
        for damaged in ["x", "!!!!", "AAAA", &given[1..]] {
            assert_eq!(key("workflows|a", damaged), Err(PageError::Token), "{damaged}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(size(0), Ok(50));
        assert_eq!(size(7), Ok(7));
        assert_eq!(size(i32::MAX), Ok(1_000));
        assert_eq!(size(-1), Err(PageError::Size(-1)));
    }
}
