//! Leases whose workers have not been heard of for a while. The owner has it noted, so that the next owner of the shard
//! goes on counting: otherwise a lease of a worker that is gone would last as long as owners come and go.

use std::sync::Arc;

use nexus_execution_store::{Silence, shard_of_token};

use super::base::Now;
use super::core::Core;
use super::leases::LEASE;
use super::outputs::Output;

/// Two heartbeats that did not come, in microseconds.
const SILENT: i64 = 7_000_000;
/// What a worker that was silent under the owner before has at least, to make itself heard by the new one.
pub(super) const CHANCE: i64 = 5_000_000;

impl Core {
    /// Takes in what the owner before had noted of shards that are being loaded.
    pub fn know_silences(&mut self, silences: Vec<Silence>, now: Now) {
        self.now = now;
        let since = silences.into_iter();
        let since = since.map(|silence| (silence.token, now.steady.saturating_sub(silence.age)));
        self.silences.extend(since);
    }

    /// What is left of a lease that is taken over, and whether its worker's silence is noted.
    pub(super) fn left_of(&mut self, token: &str) -> (i64, bool) {
        let Some(since) = self.silences.remove(token) else {
            return (LEASE, false);
        };
        let silent = self.now.steady.saturating_sub(since);
        (LEASE.saturating_sub(silent).clamp(CHANCE, LEASE), true)
    }

    /// Forgets what was noted of a shard: it is loaded.
    pub(super) fn forget_silences(&mut self, shard: u16) {
        self.silences.retain(|token, _| shard_of_token(token) != Some(shard));
    }

    /// Has it noted who fell silent, and who was heard of again.
    pub(super) fn tell_silences(&mut self) {
        if !self.lasting_leases {
            return;
        }
        let silent: Vec<Silence> = self.leases.silent(self.now.steady, SILENT);
        if !silent.is_empty() {
            self.outputs.push(Output::Silent(silent));
        }
        let heard: Vec<Arc<str>> = std::mem::take(&mut self.heard);
        if !heard.is_empty() {
            self.outputs.push(Output::Heard(heard));
        }
    }
}
