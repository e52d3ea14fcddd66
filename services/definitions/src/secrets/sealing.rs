//! Envelope encryption: each version's value is encrypted by a random key of its own, and that one is wrapped by a key of
//! [`Keys`]. Both are bound to everything else that is stored about the version, so what was changed or exchanged in the
//! database is found when the value is asked for.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::keys::{DataKey, KEY, KeyError, Keys, aes, open, seal};
use super::random::{NoRandomness, Random};
use crate::store::secrets::{About, Sealed, Wrapped};

/// A value could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The keys do not do it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What is stored is not what was sealed.
    #[error("what is stored of version {version} of the secret {name} is not what was stored when it was set")]
    Damaged {
        /// The secret.
        name: String,
        /// Its version.
        version: u32,
    },
}

impl From<NoRandomness> for SealError {
    fn from(error: NoRandomness) -> Self {
        Self::Key(error.into())
    }
}

impl SealError {
    fn of(about: &About) -> Self {
        Self::Damaged {
            name: about.name.clone(),
            version: about.version,
        }
    }
}

/// Seals values and opens them.
#[derive(Clone)]
pub struct Sealer {
    keys: Arc<dyn Keys>,
    random: Random,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// One with these keys.
    #[must_use]
    pub fn new(keys: Arc<dyn Keys>, random: Random) -> Self {
        Self { keys, random }
    }

    /// Encrypts a value for a version.
    ///
    /// # Errors
    /// When there is no key.
    pub async fn seal(&self, about: About, value: &SecretString) -> Result<Sealed, SealError> {
        let mut data = DataKey(Zeroizing::new([0; KEY]));
        (self.random)(data.0.as_mut_slice())?;
        let wrapped = self.keys.wrap(&data, &bound(KEYS, &about)).await?;
        let key = aes(&data).ok_or_else(|| SealError::of(&about))?;
        let sealed = seal(
            &key,
            &self.random,
            &bound(VALUES, &about),
            value.expose_secret().as_bytes(),
        )?;
        Ok(Sealed { about, wrapped, sealed })
    }

    /// Decrypts a version's value.
    ///
    /// # Errors
    /// When its key is not there, or anything that is stored about it was changed.
    pub async fn open(&self, sealed: &Sealed) -> Result<SecretString, SealError> {
        let data = self.data_key(sealed).await?;
        let damaged = || SealError::of(&sealed.about);
        let key = aes(&data).ok_or_else(damaged)?;
        let value = open(&key, &bound(VALUES, &sealed.about), &sealed.sealed).ok_or_else(damaged)?;
        let value = std::str::from_utf8(&value).map_err(|_| damaged())?;
        Ok(SecretString::from(value))
    }

    /// Wraps a version's data key with the newest key.
    ///
    /// # Errors
    /// When its present key is not there, or it was changed.
    pub async fn rewrap(&self, sealed: &Sealed) -> Result<Wrapped, SealError> {
        let data = self.data_key(sealed).await?;
        Ok(self.keys.wrap(&data, &bound(KEYS, &sealed.about)).await?)
    }

    async fn data_key(&self, sealed: &Sealed) -> Result<DataKey, SealError> {
        let data = self.keys.unwrap(&sealed.wrapped, &bound(KEYS, &sealed.about)).await;
        data.map_err(|error| match error {
            KeyError::Damaged(_) => SealError::of(&sealed.about),
            other => other.into(),
        })
    }
}

/// What is encrypted for one purpose is nothing for the other.
const KEYS: &str = "nexus secret key 1";
const VALUES: &str = "nexus secret value 1";

/// Everything that is stored about a version, in one way only: each part with its length.
fn bound(purpose: &str, about: &About) -> Vec<u8> {
    let About {
        namespace,
        name,
        version,
        description,
        created_at,
        created_by,
        request,
        first_at,
        first_by,
    } = about;
    let mut bound = Vec::new();
    let mut add = |part: &[u8]| {
        bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bound.extend_from_slice(part);
    };
    add(purpose.as_bytes());
    add(namespace.as_str().as_bytes());
    add(name.as_bytes());
    add(&version.to_be_bytes());
    add(description.as_bytes());
    add(&created_at.to_be_bytes());
    add(created_by.as_bytes());
    add(&[u8::from(request.is_some())]);
    add(request.as_deref().unwrap_or_default().as_bytes());
    add(&first_at.to_be_bytes());
    add(first_by.as_bytes());
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::keys::KeyRing;
    use crate::secrets::random::system_random;

    fn sealer() -> Sealer {
        let text = "a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let ring = KeyRing::parse(text, system_random()).expect("a ring");
        Sealer::new(Arc::new(ring), system_random())
    }

    fn about() -> About {
        About {
            namespace: "team-a".parse().expect("a namespace"),
            name: "api".into(),
            version: 3,
            description: "words".into(),
            created_at: 7,
            created_by: "user:anna".into(),
            request: None,
            first_at: 5,
            first_by: "user:ben".into(),
        }
    }

    #[tokio::test]
    async fn a_value_comes_back_and_is_nowhere_in_what_is_stored() {
        let sealer = sealer();
        let value = SecretString::from("hunter2 hunter2 hunter2");
        let sealed = sealer.seal(about(), &value).await.expect("sealed");
        assert_eq!(
            sealer.open(&sealed).await.expect("opened").expose_secret(),
            value.expose_secret()
        );
        assert!(!sealed.sealed.windows(7).any(|window| window == b"hunter2"));
        let again = sealer.seal(about(), &value).await.expect("sealed");
        assert_ne!(again.sealed, sealed.sealed, "each has a key of its own");
        assert!(!format!("{sealed:?} {value:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn whatever_is_changed_is_found() {
        let sealer = sealer();
        let sealed = sealer.seal(about(), &"value".into()).await.expect("sealed");
        let other = sealer.seal(about(), &"other".into()).await.expect("sealed");
        let changes: [&dyn Fn(&mut Sealed); 13] = [
            &|row| row.about.namespace = Default::default(),
            &|row| row.about.name = "apj".into(),
            &|row| row.about.version = 2,
            &|row| row.about.description = String::new(),
            &|row| row.about.created_at = 8,
            &|row| row.about.created_by = "user:eve".into(),
            &|row| row.about.request = Some(String::new()),
            &|row| row.about.first_at = 4,
            &|row| row.about.first_by = "user:eve".into(),
            &|row| row.wrapped = other.wrapped.clone(),
            &|row| row.sealed = other.sealed.clone(),
            &|row| row.sealed[20] ^= 1,
            &|row| row.sealed.clear(),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut changed = sealed.clone();
            change(&mut changed);
            let error = sealer.open(&changed).await.expect_err("it was changed");
            assert!(matches!(error, SealError::Damaged { .. }), "{number}: {error}");
        }
        let mut swapped = sealed.clone();
        (swapped.wrapped, swapped.sealed) = (other.wrapped, other.sealed);
        assert!(
            sealer.open(&swapped).await.is_ok(),
            "a whole version of the same is no change"
        );
    }
}
