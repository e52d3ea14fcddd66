//! How processes of one NEXUS know each other: a key that all of them have, and tokens made with it that live for minutes,
//! so that what is seen on the way is soon worth nothing. HMAC with SHA-256 (RFC 2104).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Caller;

/// What such a token begins with.
pub const PREFIX: &str = "nxm_";
/// Characters of a key at least.
pub const SHORTEST: usize = 32;
/// How long a token lives, in seconds, and how much a clock may be wrong.
const LIFETIME: u64 = 300;
const LEEWAY: u64 = 60;
/// What is signed begins with this, so that no other use of the key makes such a token.
const CONTEXT: &str = "nexus service token 1";

/// The keys of one NEXUS: the first signs, all verify, so that they can be exchanged without a gap.
#[derive(Clone)]
pub struct ServiceKey {
    keys: Vec<Hmac<Sha256>>,
}

/// What the processes of one NEXUS verify each other with. Workers have a key of their own: whoever breaks out of a task
/// into its worker can then be a worker and nothing else.
#[derive(Debug, Clone, Default)]
pub struct ServiceKeys {
    /// Of every process but workers.
    pub service: Option<ServiceKey>,
    /// Of workers.
    pub worker: Option<ServiceKey>,
}

/// The role of workers.
const WORKER: &str = "worker";

impl ServiceKeys {
    /// Who made a token.
    #[must_use]
    pub fn verify(&self, token: &str, now: u64) -> Option<Caller> {
        let by = |key: &Option<ServiceKey>| key.as_ref()?.verify(token, now).map(|(role, _)| role.to_owned());
        if let Some(role) = by(&self.service) {
            return Some(Caller::service(&role));
        }
        by(&self.worker).filter(|role| role == WORKER).map(|_| Caller::worker())
    }
}

/// A key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("it is empty")]
    Empty,
    /// One of them can be guessed.
    #[error("each key has at least {SHORTEST} characters; make one with `openssl rand -base64 32`")]
    Short,
}

impl std::fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServiceKey({})", self.keys.len())
    }
}

impl ServiceKey {
    /// Reads keys that are separated by commas.
    ///
    /// # Errors
    /// When there is none, or one is too short.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let keys: Vec<&str> = text.split(',').map(str::trim).filter(|key| !key.is_empty()).collect();
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        if keys.iter().any(|key| key.len() < SHORTEST) {
            return Err(KeyError::Short);
        }
        let macs = keys.iter().map(|key| Hmac::new_from_slice(key.as_bytes()));
        let keys = macs.collect::<Result<Vec<_>, _>>().map_err(|_| KeyError::Short)?;
        Ok(Self { keys })
    }

    /// A token by which others know this process, by its role; `now` in seconds since 1970.
    #[must_use]
    pub fn sign(&self, role: &str, now: u64) -> String {
        let until = now + LIFETIME;
        let mac = self
            .keys
            .first()
            .map(|key| said(key, role, until).finalize().into_bytes());
        let mac = URL_SAFE_NO_PAD.encode(mac.unwrap_or_default());
        format!("{PREFIX}{role}.{until}.{mac}")
    }

    /// The role of the process that made a token, and until when it lives.
    #[must_use]
    pub fn verify<'a>(&self, token: &'a str, now: u64) -> Option<(&'a str, u64)> {
        let mut parts = token.strip_prefix(PREFIX)?.split('.');
        let (role, until, mac) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || role.is_empty() {
            return None;
        }
        let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
        let until: u64 = until.parse().ok()?;
        let good = self
            .keys
            .iter()
            .any(|key| said(key, role, until).verify_slice(&mac).is_ok());
        let lives = now <= until.saturating_add(LEEWAY) && until <= now + LIFETIME + LEEWAY;
        (good && lives).then_some((role, until))
    }
}

fn said(key: &Hmac<Sha256>, role: &str, until: u64) -> Hmac<Sha256> {
    key.clone().chain_update(format!("{CONTEXT}\0{role}\0{until}"))
}

#[cfg(test)]
mod tests {
    use nexus_api::method::Permission;

    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    #[test]
    fn a_token_is_good_for_minutes_with_the_key_that_made_it() {
        let key = ServiceKey::read(OLD).expect("a key");
        let token = key.sign("execution", 1_000_000);
        assert_eq!(key.verify(&token, 1_000_000), Some(("execution", 1_000_300)));
        assert!(key.verify(&token, 1_000_360).is_some(), "clocks differ");
        assert!(key.verify(&token, 1_000_361).is_none(), "it has ended");
        assert!(key.verify(&token, 999_939).is_none(), "it comes from the future");
        let other = ServiceKey::read(NEW).expect("a key");
        assert!(other.verify(&token, 1_000_000).is_none());
        for forged in [
            token.replace("execution", "gateway"),
            token.replace("1000300", "1000301"),
            token.replace("nxm_", "nxk_"),
            format!("{token}.x"),
            token[..token.len() - 1].to_owned(),
            "nxm_".to_owned(),
            "nxm_..".to_owned(),
        ] {
            assert!(key.verify(&forged, 1_000_000).is_none(), "{forged}");
        }
    }

    #[test]
    fn keys_are_exchanged_without_a_gap() {
        let (old, both) = (ServiceKey::read(OLD).expect("a key"), format!("{NEW}, {OLD}"));
        let both = ServiceKey::read(&both).expect("keys");
        assert!(both.verify(&old.sign("worker", 5), 5).is_some());
        assert!(old.verify(&both.sign("worker", 5), 5).is_none(), "the first signs");
    }

    #[test]
    fn a_worker_s_key_makes_a_worker_and_nothing_else() {
        let (service, worker) = (ServiceKey::read(OLD).ok(), ServiceKey::read(NEW).ok());
        let keys = ServiceKeys { service, worker };
        let made = |key: &str, role| {
            let token = ServiceKey::read(key).expect("a key").sign(role, 5);
            keys.verify(&token, 5)
        };
        assert!(made(NEW, "execution").is_none());
        let worker = made(NEW, "worker").expect("a worker");
        assert!(worker.may_everywhere(Permission::WorkersLease) && worker.may_everywhere(Permission::SecretsResolve));
        assert!(
            !worker.may_everywhere(Permission::ReplicasSpeak) && !worker.may_everywhere(Permission::ExecutionsRead)
        );
        assert!(made(OLD, "execution").is_some_and(|caller| caller.may_everywhere(Permission::ReplicasSpeak)));
    }

    #[test]
    fn what_can_be_guessed_is_no_key() {
        assert_eq!(ServiceKey::read(" , ").expect_err("none"), KeyError::Empty);
        assert_eq!(ServiceKey::read(&OLD[1..]).expect_err("short"), KeyError::Short);
        let debugged = format!("{:?}", ServiceKey::read(OLD).expect("a key"));
        assert!(!debugged.contains(OLD));
    }
}
