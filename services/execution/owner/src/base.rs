//! What everything in the owner is made of: the time, twice, and maps whose order can be replayed.

use std::hash::{BuildHasherDefault, DefaultHasher};

/// A map whose order depends on nothing but what was put into it, so that a simulation can be replayed.
pub(crate) type Map<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// The time, twice, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since the Unix epoch. It is stored and shown, and may jump.
    pub wall: i64,
    /// Since some beginning. It only grows: leases, timers and patrols are judged by it, so a clock that is set to another
    /// time takes nobody's lease and delays nobody's retry.
    pub steady: i64,
}
