//! The keys that wrap data keys: the port, and the adapter for keys that are in memory. A key service, which wraps and
//! unwraps without giving its key away, would be another adapter.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::random::{NoRandomness, Random};
use crate::store::secrets::Wrapped;

/// Bytes of a key.
pub const KEY: usize = 32;
/// Keys at most.
const MAX_KEYS: usize = 100;
/// Characters of a key's id at most.
const MAX_ID: usize = 64;

/// A key that encrypts one value; wiped from memory when it is done with, and never shown.
pub struct DataKey(pub Zeroizing<[u8; KEY]>);

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A data key could not be wrapped or unwrapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no key at all.
    #[error(
        "there is no key to encrypt secrets with: give the definitions service one in secrets.key_file or secrets.keys, a \
         line `ID BASE64` with 32 random bytes, as `echo \"k1 $(openssl rand -base64 32)\"` writes it"
    )]
    None,
    /// The key that is needed is not there.
    #[error("the key {0} is not there: put it back into secrets.key_file or secrets.keys of the definitions service")]
    Missing(String),
    /// What was wrapped is not what comes to be unwrapped.
    #[error("the data key was not wrapped by the key {0} for this version")]
    Damaged(String),
    /// The keys cannot be had at present.
    #[error("the keys cannot be had at present: {0}")]
    Away(String),
}

impl From<NoRandomness> for KeyError {
    fn from(error: NoRandomness) -> Self {
        Self::Away(error.to_string())
    }
}

/// Wraps data keys. What is wrapped for one context cannot be unwrapped for another.
#[async_trait]
pub trait Keys: Send + Sync + std::fmt::Debug {
    /// The id of the key that wraps.
    async fn newest(&self) -> Result<String, KeyError>;

    /// Whether there is a key of this id.
    async fn has(&self, key: &str) -> Result<bool, KeyError>;

    /// Wraps with the newest key.
    async fn wrap(&self, data: &DataKey, context: &[u8]) -> Result<Wrapped, KeyError>;

    /// Unwraps with whichever key it was.
    async fn unwrap(&self, wrapped: &Wrapped, context: &[u8]) -> Result<DataKey, KeyError>;
}

/// Keys cannot be read. Never quotes what was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// A line is no key.
    #[error("line {line}: {problem}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There are too many.
    #[error("there are more than {MAX_KEYS} keys")]
    TooMany,
}

/// Keys in memory: the first one wraps, all unwrap.
pub struct KeyRing {
    keys: Vec<(String, LessSafeKey)>,
    random: Random,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<&str> = self.keys.iter().map(|(id, _)| id.as_str()).collect();
        f.debug_struct("KeyRing").field("keys", &ids).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// No keys.
    #[must_use]
    pub fn empty(random: Random) -> Self {
        Self {
            keys: Vec::new(),
            random,
        }
    }

    /// Reads lines `ID BASE64`, of 32 bytes each; several may stand in one line with commas between them. Empty lines and
    /// those that begin with `#` are left out.
    ///
    /// # Errors
    /// When a line is no key, an id comes twice, or there are too many.
    pub fn parse(text: &str, random: Random) -> Result<Self, RingError> {
        let mut keys: Vec<(String, LessSafeKey)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with('#') {
                continue;
            }
            let wrong = |problem| RingError::Line {
                line: index + 1,
                problem,
            };
            for entry in line.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
                let (id, key) = read(entry).map_err(wrong)?;
                if keys.iter().any(|(known, _)| *known == id) {
                    return Err(wrong("its id is that of a key above"));
                }
                keys.push((id, key));
            }
        }
        match keys.len() {
            ..=MAX_KEYS => Ok(Self { keys, random }),
            _ => Err(RingError::TooMany),
        }
    }

    fn key(&self, id: &str) -> Option<&LessSafeKey> {
        self.keys.iter().find(|(known, _)| known == id).map(|(_, key)| key)
    }

    pub(super) fn newest_id(&self) -> Result<String, KeyError> {
        self.keys.first().map(|(id, _)| id.clone()).ok_or(KeyError::None)
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.key(id).is_some()
    }

    pub(super) fn wrap_now(&self, data: &DataKey, context: &[u8]) -> Result<Wrapped, KeyError> {
        let (id, key) = self.keys.first().ok_or(KeyError::None)?;
        let bytes = seal(key, &self.random, &bound(id, context), data.0.as_slice())?;
        Ok(Wrapped { key: id.clone(), bytes })
    }

    pub(super) fn unwrap_now(&self, wrapped: &Wrapped, context: &[u8]) -> Result<DataKey, KeyError> {
        let id = &wrapped.key;
        let key = self.key(id).ok_or_else(|| KeyError::Missing(id.clone()))?;
        let opened = open(key, &bound(id, context), &wrapped.bytes);
        let data = opened.and_then(|data| <[u8; KEY]>::try_from(data.as_slice()).ok());
        let data = data.ok_or_else(|| KeyError::Damaged(id.clone()))?;
        Ok(DataKey(Zeroizing::new(data)))
    }
}

#[async_trait]
impl Keys for KeyRing {
    async fn newest(&self) -> Result<String, KeyError> {
        self.newest_id()
    }

    async fn has(&self, key: &str) -> Result<bool, KeyError> {
        Ok(self.knows(key))
    }

    async fn wrap(&self, data: &DataKey, context: &[u8]) -> Result<Wrapped, KeyError> {
        self.wrap_now(data, context)
    }

    async fn unwrap(&self, wrapped: &Wrapped, context: &[u8]) -> Result<DataKey, KeyError> {
        self.unwrap_now(wrapped, context)
    }
}

/// Reads `ID BASE64`.
fn read(entry: &str) -> Result<(String, LessSafeKey), &'static str> {
    let (id, text) = entry.split_once(char::is_whitespace).ok_or("write it as ID BASE64")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.len() > MAX_ID || !id.chars().all(plain) {
        return Err("an id has at most 64 letters, digits, dots, dashes and underscores");
    }
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| "the key is not base64")?);
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| "the key has not 32 bytes")?;
    Ok((id.to_owned(), LessSafeKey::new(key)))
}

/// What a wrapped key is bound to: the key that wraps, too.
fn bound(id: &str, context: &[u8]) -> Vec<u8> {
    let mut bound = Vec::with_capacity(id.len() + context.len() + 1);
    bound.extend_from_slice(id.as_bytes());
    // No id has it.
    bound.push(0);
    bound.extend_from_slice(context);
    bound
}

/// A key of these bytes.
pub(super) fn aes(data: &DataKey) -> Option<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, data.0.as_slice()).ok()?;
    Some(LessSafeKey::new(key))
}

/// Encrypts: a random nonce, then the ciphertext with its tag.
pub(super) fn seal(key: &LessSafeKey, random: &Random, bound: &[u8], plain: &[u8]) -> Result<Vec<u8>, NoRandomness> {
    let mut nonce = [0; NONCE_LEN];
    random(&mut nonce)?;
    let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(bound), &mut sealed[NONCE_LEN..]);
    // It fails for texts of more than 64 GiB alone.
    let tag = tag.map_err(|_| NoRandomness("the text is too long".to_owned()))?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// Decrypts; nothing when it was encrypted otherwise, or for something else.
pub(super) fn open(key: &LessSafeKey, bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut text = Zeroizing::new(text.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = key.open_in_place(nonce, Aad::from(bound), &mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::random::system_random;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

    fn ring(text: &str) -> Result<KeyRing, RingError> {
        KeyRing::parse(text, system_random())
    }

    fn data() -> DataKey {
        DataKey(Zeroizing::new([7; KEY]))
    }

    #[test]
    fn the_first_key_wraps_and_all_unwrap() {
        let old = ring(&format!("a {ONE}")).expect("a ring");
        let both = ring(&format!("# the new one\n\nb {TWO}\na   {ONE}\n")).expect("a ring");
        let in_a_line = ring(&format!("b {TWO}, a {ONE}")).expect("a ring");
        let by_old = old.wrap_now(&data(), b"x").expect("wrapped");
        let by_new = both.wrap_now(&data(), b"x").expect("wrapped");
        assert_eq!((by_old.key.as_str(), by_new.key.as_str()), ("a", "b"));
        for wrapped in [&by_old, &by_new] {
            for ring in [&both, &in_a_line] {
                assert_eq!(ring.unwrap_now(wrapped, b"x").expect("unwrapped").0, data().0);
            }
            assert!(
                !wrapped.bytes.windows(4).any(|window| window == [7; 4]),
                "it is encrypted"
            );
        }
        let missing = old.unwrap_now(&by_new, b"x").expect_err("it is not there");
        assert_eq!(missing, KeyError::Missing("b".to_owned()));
        assert!(missing.to_string().contains("the key b is not there"));
    }

    #[test]
    fn what_is_wrapped_for_one_version_is_nothing_for_another() {
        let ring = ring(&format!("a {ONE}\nb {TWO}\nc {ONE}")).expect("a ring");
        let wrapped = ring.wrap_now(&data(), b"x").expect("wrapped");
        assert!(matches!(ring.unwrap_now(&wrapped, b"y"), Err(KeyError::Damaged(_))));
        for other in ["b", "c"] {
            let renamed = Wrapped {
                key: other.to_owned(),
                ..wrapped.clone()
            };
            let damaged = ring.unwrap_now(&renamed, b"x").expect_err("another key");
            assert_eq!(damaged, KeyError::Damaged(other.to_owned()));
        }
        for at in 0..wrapped.bytes.len() {
            let mut changed = wrapped.clone();
            changed.bytes[at] ^= 1;
            assert!(ring.unwrap_now(&changed, b"x").is_err(), "byte {at}");
        }
        let short = Wrapped {
            bytes: Vec::new(),
            ..wrapped
        };
        assert!(ring.unwrap_now(&short, b"x").is_err());
    }

    #[test]
    fn lines_that_are_no_keys_are_named_and_not_quoted() {
        for (text, told) in [
            ("justoneword", "line 1: write it"),
            (&*format!("a {ONE}\na {TWO}"), "line 2: its id"),
            ("a c2hvcnQ=", "has not 32 bytes"),
            ("a !secret!", "not base64"),
            (&*format!("ä {ONE}"), "an id has"),
        ] {
            let error = ring(text).expect_err(text).to_string();
            assert!(error.contains(told) && !error.contains("secret"), "{error}");
        }
        let many = |count| (0..count).fold(String::new(), |text, number| format!("{text}k{number} {ONE}\n"));
        assert!(ring(&many(MAX_KEYS)).is_ok());
        assert_eq!(ring(&many(MAX_KEYS + 1)).expect_err("too many"), RingError::TooMany);
        assert!(ring(&format!("{} {ONE}", "i".repeat(MAX_ID))).is_ok());
        assert!(ring(&format!("{} {ONE}", "i".repeat(MAX_ID + 1))).is_err());
    }

    #[test]
    fn nothing_secret_is_shown() {
        let ring = ring(&format!("a {ONE}")).expect("a ring");
        let shown = format!("{ring:?} {:?} {:?}", data(), ring.wrap_now(&data(), b""));
        assert!(shown.contains("\"a\"") && !shown.contains("7, 7"), "{shown}");
        let none = KeyRing::empty(system_random());
        assert_eq!(none.wrap_now(&data(), b"").expect_err("no key"), KeyError::None);
    }
}
