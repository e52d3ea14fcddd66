//! Ids: what names an execution, a lease, a session, and which shard an execution belongs to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

/// How many shards executions are spread over. Fixed for the life of a database: the shard is part of the id.
pub const SHARDS: u16 = 64;

/// Gives fresh ids: UUIDv7 for executions, random ones for tokens and sessions.
#[derive(Clone)]
pub struct Ids {
    ordered: Arc<dyn Fn() -> Uuid + Send + Sync>,
    random: Arc<dyn Fn() -> Uuid + Send + Sync>,
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ids")
    }
}

impl Ids {
    /// Ids from the machine's clock and its source of randomness.
    #[must_use]
    pub fn system() -> Self {
        Self {
            ordered: Arc::new(Uuid::now_v7),
            random: Arc::new(Uuid::new_v4),
        }
    }

    /// Ids that come from a seed alone, for tests that can be run again.
    #[cfg(any(test, feature = "model"))]
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};

        let (ordered, random) = (AtomicU64::new(1), AtomicU64::new(0));
        let spread = move |number: u64| nexus_engine::splitmix(seed ^ number.rotate_left(17));
        Self::new(
            move || {
                let number = ordered.fetch_add(1, Ordering::Relaxed);
                Uuid::from_u64_pair(number, spread(number))
            },
            move || {
                let number = random.fetch_add(1, Ordering::Relaxed);
                Uuid::from_u64_pair(spread(!number), number)
            },
        )
    }

    /// Ids from elsewhere: `ordered` gives ones that sort by creation, `random` ones that cannot be guessed.
    #[must_use]
    pub fn new(
        ordered: impl Fn() -> Uuid + Send + Sync + 'static,
        random: impl Fn() -> Uuid + Send + Sync + 'static,
    ) -> Self {
        Self {
            ordered: Arc::new(ordered),
            random: Arc::new(random),
        }
    }

    /// A fresh execution id. Equal idempotency keys give ids in the same shard, so that one owner sees both.
    #[must_use]
    pub fn execution(&self, request_key: Option<&str>) -> ExecutionId {
        let mut bytes = (self.ordered)().into_bytes();
        if let Some(key) = request_key {
            // FNV-1a: stable over builds, which a hasher of the standard library is not.
            let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            bytes[15] = hash.to_le_bytes()[0];
        }
        ExecutionId(Uuid::from_bytes(bytes))
    }

    /// A fresh execution id in one of some shards, as chance has it; in any when none is given.
    #[must_use]
    pub fn execution_in(&self, shards: &[u16]) -> ExecutionId {
        let id = self.execution(None);
        if shards.is_empty() {
            return id;
        }
        let mut bytes = id.bytes();
        let chosen = shards[usize::from(u16::from_le_bytes([bytes[13], bytes[14]])) % shards.len()];
        // The last byte's rest is left to chance.
        let rounds = u16::from(bytes[15]) / SHARDS;
        bytes[15] = u8::try_from(rounds * SHARDS + chosen).unwrap_or(bytes[15]);
        ExecutionId::from_bytes(bytes)
    }

    /// A fresh token for a lease in a shard, which its first two digits name, to a session in a generation, which stands
    /// behind the dot.
    #[must_use]
    pub fn token(&self, shard: u16, generation: u64) -> LeaseToken {
        LeaseToken::from(format!("{shard:02x}{}.{generation:x}", (self.random)().simple()))
    }

    /// A fresh session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        SessionId::from((self.random)().simple().to_string())
    }

    /// A fresh random id.
    #[must_use]
    pub fn random(&self) -> Uuid {
        (self.random)()
    }
}

/// Names an execution. Sorts by creation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId(pub Uuid);

impl ExecutionId {
    /// The shard that the execution belongs to.
    #[must_use]
    pub fn shard(self) -> u16 {
        u16::from(self.0.as_bytes()[15]) % SHARDS
    }

    /// Where the execution's chance comes from.
    #[must_use]
    pub fn seed(self) -> u64 {
        let (high, low) = self.0.as_u64_pair();
        nexus_engine::splitmix(high ^ low.rotate_left(32))
    }

    /// The id as 16 bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// An id from its 16 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for ExecutionId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

/// A text that names something and is cheap to copy. Whoever knows one holds what it names, so that `Debug` shows its beginning alone.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text, as it stands in messages and in the store.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                (*id.0).to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let shown = self.0.floor_char_boundary(8);
                let rest = if shown < self.0.len() { ".." } else { "" };
                write!(f, "{}({}{rest})", stringify!($name), &self.0[..shown])
            }
        }
    };
}

text_id! {
    /// Names a worker's session at the replica where the worker is connected, and at the next one when it goes on there.
    SessionId
}

text_id! {
    /// Names a lease: one attempt, given to one session. Any text can be one, as workers send it; what no owner gave out
    /// is nobody's lease.
    LeaseToken
}

impl LeaseToken {
    /// The shard that the lease belongs to; the first two digits. None for what is no token.
    #[must_use]
    pub fn shard(&self) -> Option<u16> {
        shard_of_token(&self.0)
    }

    /// In which generation of its session the lease was given out. None for tokens of before generations.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        let (_, generation) = self.0.rsplit_once('.')?;
        u64::from_str_radix(generation, 16).ok()
    }
}

/// The shard of a lease whose token is a text yet; its first two digits. None for what is no token.
#[must_use]
pub fn shard_of_token(token: &str) -> Option<u16> {
    let digits = token.get(..2)?;
    u16::from_str_radix(digits, 16).ok().filter(|shard| *shard < SHARDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_a_right_is_not_shown_whole() {
        let session = Ids::system().session();
        let shown = format!("{session:?}");
        assert!(!shown.contains(session.as_str()) && shown.ends_with("..)"), "{shown}");
        assert_eq!(format!("{:?}", LeaseToken::from("3f\u{fc}")), "LeaseToken(3f\u{fc})");
    }

    #[test]
    fn equal_keys_share_a_shard_and_ids_sort_by_creation() {
        let ids = Ids::system();
        assert_eq!(ids.execution(Some("a")).shard(), ids.execution(Some("a")).shard());
        let made: Vec<ExecutionId> = (0..100).map(|_| ids.execution(None)).collect();
        assert!(made.is_sorted());
        assert!(made.iter().all(|id| id.shard() < SHARDS));
        assert_eq!(made[0].to_string().parse::<ExecutionId>().expect("parse"), made[0]);
    }

    #[test]
    fn a_token_names_its_shard() {
        assert_eq!(shard_of_token("3fabc"), Some(63));
        assert_eq!(shard_of_token("00"), Some(0));
        for wrong in ["", "4", "40abc", "zz", "é"] {
            assert_eq!(shard_of_token(wrong), None, "{wrong}");
        }
        let token = Ids::system().token(63, 0x2a);
        assert_eq!((token.shard(), token.generation()), (Some(63), Some(42)));
        assert_eq!(LeaseToken::from("3fabc").generation(), None, "of before");
    }
}
