//! Leases whose workers have not been heard of for a while. The owner has it noted, so that the next owner of the shard
//! goes on counting: otherwise a lease of a worker that is gone would last as long as owners come and go.

use nexus_execution_store::{LeaseToken, Silence};

use super::base::Map;
use super::leases::LEASE;

/// Two heartbeats that did not come, in microseconds.
pub(crate) const SILENT: i64 = 7_000_000;
/// What a worker that was silent under the owner before has at least, to make itself heard by the new one.
pub(crate) const CHANCE: i64 = 5_000_000;

/// What is known of silent workers beside the leases themselves.
#[derive(Debug, Default)]
pub(crate) struct Silences {
    /// Since when workers have been silent whose leases are about to be taken over, on the steady clock.
    since: Map<LeaseToken, i64>,
    /// Leases whose workers were heard of again after that had been noted otherwise.
    heard: Vec<LeaseToken>,
}

impl Silences {
    /// Takes in what the owner before had noted of shards that are being loaded.
    pub(crate) fn know(&mut self, silences: Vec<Silence>, now: i64) {
        let since = silences.into_iter();
        self.since
            .extend(since.map(|silence| (silence.token, now.saturating_sub(silence.age))));
    }

    /// What is left of a lease that is taken over, and whether its worker's silence is noted.
    pub(crate) fn left_of(&mut self, token: &LeaseToken, now: i64) -> (i64, bool) {
        let Some(since) = self.since.remove(token) else {
            return (LEASE, false);
        };
        let silent = now.saturating_sub(since);
        (LEASE.saturating_sub(silent).clamp(CHANCE, LEASE), true)
    }

    /// Forgets what was noted of a shard: it is loaded.
    pub(crate) fn forget(&mut self, shard: u16) {
        self.since.retain(|token, _| token.shard() != Some(shard));
    }

    /// The worker of a lease was heard of again.
    pub(crate) fn heard(&mut self, token: &LeaseToken) {
        self.heard.push(token.clone());
    }

    /// Of whom that is not told yet; it is now.
    pub(crate) fn take_heard(&mut self) -> Vec<LeaseToken> {
        std::mem::take(&mut self.heard)
    }
}
