//! Secrets that are handed out, and what is kept of them. A key or a session's token is 256 random bits, which nobody
//! guesses: a fast hash is enough to keep them, and one that is slow on purpose would only slow down every call. Passwords,
//! which people choose, are another matter (`passwords.rs`).

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// Characters of an id, five bits each: 48 bits of time in milliseconds, then 72 that are random.
const ID: usize = 24;
/// Characters of a secret: 256 bits in base64url.
const SECRET: usize = 43;
/// Digits and letters without those that are taken for each other, in the order of their bytes: ids sort by their time.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Fills bytes at random.
pub type Random = Arc<dyn Fn(&mut [u8]) -> Result<(), NoRandomness> + Send + Sync>;

/// The system gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers: {0}")]
pub struct NoRandomness(String);

/// The system's random numbers.
#[must_use]
pub fn system_random() -> Random {
    Arc::new(|bytes| getrandom::fill(bytes).map_err(|error| NoRandomness(error.to_string())))
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The SHA-256 of a secret. It has no `==`: how long a comparison takes must not tell how much of it fits.
#[derive(Clone)]
pub struct Digest([u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Digest {
    /// That of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// One that was stored; nothing when it is none.
    #[must_use]
    pub fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// As it is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are of the same secret, in a time that does not depend on it.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An API key.
    Key,
    /// A session's token.
    Session,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Key => "nxk_",
            Self::Session => "nxs_",
        }
    }
}

/// A token that was made: its parts that are kept, and itself, which is not.
#[derive(Debug)]
pub struct Issued {
    /// Its id, which is no secret.
    pub id: String,
    /// What is kept of it.
    pub digest: Digest,
    /// The token: said once, to whom it belongs.
    pub token: Secret,
}

/// Makes a token: `nxk_<id>_<secret>`.
///
/// # Errors
/// When the system gives no random numbers.
pub fn issue(kind: Kind, now: i64, random: &Random) -> Result<Issued, NoRandomness> {
    let id = id(now, random)?;
    let token = format!("{}{id}_{}", kind.prefix(), secret(random)?);
    Ok(Issued {
        id,
        digest: Digest::of(&token),
        token: Secret(token),
    })
}

/// A text of 256 random bits, in letters, digits, `-` and `_`.
///
/// # Errors
/// When the system gives no random numbers.
pub fn secret(random: &Random) -> Result<String, NoRandomness> {
    let mut bytes = [0; 32];
    random(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// An id: those of later milliseconds sort after it.
fn id(now: i64, random: &Random) -> Result<String, NoRandomness> {
    let mut bytes = [0; 16];
    random(&mut bytes[7..])?;
    let millis = u64::try_from(now / 1_000).unwrap_or_default();
    bytes[1..7].copy_from_slice(&millis.to_be_bytes()[2..]);
    let bits = u128::from_be_bytes(bytes);
    let letter = |place: usize| char::from(ALPHABET[usize::try_from((bits >> (5 * place)) & 31).unwrap_or_default()]);
    Ok((0..ID).rev().map(letter).collect())
}

/// Whether a text can be an id.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// What a token says of itself: its kind, its id, and the digest to compare; nothing when it is no token of ours.
#[must_use]
pub fn read(token: &str) -> Option<(Kind, &str, Digest)> {
    let (kind, rest) = [Kind::Key, Kind::Session]
        .into_iter()
        .find_map(|kind| Some((kind, token.strip_prefix(kind.prefix())?)))?;
    let (id, secret) = rest.split_at_checked(ID)?;
    let secret = secret.strip_prefix('_')?;
    let fits = is_id(id) && secret.len() == SECRET && secret.bytes().all(is_of_secret);
    fits.then(|| (kind, id, Digest::of(token)))
}

fn is_of_secret(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000_000;

    #[test]
    fn tokens_are_read_back_and_have_the_form_that_the_contract_says() {
        for (kind, prefix) in [(Kind::Key, "nxk_"), (Kind::Session, "nxs_")] {
            let issued = issue(kind, NOW, &system_random()).expect("a token");
            let token = issued.token.expose();
            assert_eq!((token.len(), &token[..4]), (4 + 24 + 1 + 43, prefix));
            let (read_kind, id, digest) = read(token).expect("ours");
            assert_eq!((read_kind, id), (kind, issued.id.as_str()));
            assert!(digest.matches(&issued.digest));
            assert!(!Digest::of("another").matches(&issued.digest));
        }
    }

    #[test]
    fn ids_sort_by_their_time_and_no_two_are_the_same() {
        let at = |now| id(now, &system_random()).expect("an id");
        let ids: Vec<String> = (0..200).map(|step| at(NOW + step * 1_000)).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| is_id(id)));
        assert_ne!(at(NOW), at(NOW));
        assert!(!is_id("") && !is_id(&"A".repeat(24)) && !is_id(&"0".repeat(25)));
    }

    #[test]
    fn what_is_no_token_of_ours_is_told_apart() {
        let good = issue(Kind::Key, NOW, &system_random()).expect("a token");
        let good = good.token.expose();
        let cut = &good[..good.len() - 1];
        let longer = format!("{good}x");
        let other = good.replacen("nxk_", "nxq_", 1);
        let odd = format!("{}ü", &good[..good.len() - 2]);
        let nul = format!("{cut}\0");
        for wrong in ["", "nxk_", "nxk_é", cut, &longer, &other, &odd, &nul, "a.b.c"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let issued = issue(Kind::Key, NOW, &system_random()).expect("a token");
        let shown = format!("{issued:?}");
        assert!(!shown.contains(issued.token.expose()), "{shown}");
        assert!(shown.contains(&issued.id));
    }
}
