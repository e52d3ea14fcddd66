//! Idempotency keys of recent starts, so that a caller who looked into the store too early still finds them.

use std::collections::{HashMap, VecDeque};

use nexus_engine::planted::{Bug, planted};
use nexus_execution_store::{ExecutionId, RequestKey};

/// A key is kept for this long, in microseconds: longer than any call may last.
const MEMORY: i64 = 120_000_000;
/// Keys that are kept at most; one more start with a key is refused until older ones may be forgotten.
pub(crate) const MAX_KEYS: usize = 1_000_000;

/// Keys by text, and the same in the order of their age.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    known: HashMap<String, (ExecutionId, String)>,
    oldest: VecDeque<(i64, String)>,
}

impl Keys {
    /// The execution that a key was used for, and the fingerprint of that start.
    pub(crate) fn get(&self, key: &str) -> Option<(ExecutionId, &str)> {
        self.known.get(key).map(|(id, fingerprint)| (*id, fingerprint.as_str()))
    }

    pub(crate) fn remember(&mut self, request: &RequestKey, id: ExecutionId, steady: i64) {
        if planted(Bug::KeyForgotten) {
            return;
        }
        self.oldest.push_back((steady, request.key.clone()));
        self.known
            .insert(request.key.clone(), (id, request.fingerprint.clone()));
    }

    /// Forgets keys that the store has had for longer than any call lasts.
    pub(crate) fn forget_old(&mut self, steady: i64, is_stored: impl Fn(ExecutionId) -> bool) {
        while let Some((at, key)) = self.oldest.front() {
            let stored = self.known.get(key).is_none_or(|(id, _)| is_stored(*id));
            if steady - at < MEMORY || !stored {
                return;
            }
            self.known.remove(key);
            self.oldest.pop_front();
        }
    }

    /// Forgets the keys of executions that somebody else owns now.
    pub(crate) fn forget_of(&mut self, gone: impl Fn(ExecutionId) -> bool) {
        self.known.retain(|_, (id, _)| !gone(*id));
        let known = &self.known;
        self.oldest.retain(|(_, key)| known.contains_key(key));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.known.len() >= MAX_KEYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_as_long_as_a_call_may_last_and_until_they_are_stored() {
        let mut keys = Keys::default();
        let id = ExecutionId(uuid::Uuid::nil());
        let request = RequestKey {
            key: "k".into(),
            fingerprint: "f".into(),
        };
        keys.remember(&request, id, 10);
        keys.forget_old(10 + MEMORY - 1, |_| true);
        assert_eq!(keys.get("k"), Some((id, "f")));
        keys.forget_old(10 + MEMORY, |_| false);
        assert!(keys.get("k").is_some(), "it is not stored yet");
        keys.forget_old(10 + MEMORY, |_| true);
        assert!(keys.get("k").is_none() && keys.oldest.is_empty());
    }
}
