//! What is heard of workers' sessions: that they live, go on elsewhere, or are over.

use nexus_engine::planted::{Bug, planted};
use nexus_execution_store::{LeaseToken, SessionId};
use tokio::sync::oneshot;

use super::Core;
use crate::messages::{Received, Verdict};

impl Core {
    /// A worker asks for more time for its leases.
    pub(super) fn heartbeat(
        &mut self,
        session: &SessionId,
        generation: u64,
        tokens: &[LeaseToken],
        reply: oneshot::Sender<Vec<Verdict>>,
    ) {
        // One that was under way while the worker went on elsewhere says nothing of whether it lives.
        let newest = self.sessions.lives(session, generation, self.now.steady);
        let verdicts = tokens.iter().map(|token| match newest {
            true => self.extend(token, session),
            false => Verdict::Unknown,
        });
        let verdicts = verdicts.collect();
        drop(reply.send(verdicts));
    }

    /// A session is over, as a replica says that had it in a generation.
    pub(super) fn session_closed(&mut self, session: &SessionId, generation: u64, reason: &str) {
        let newest = self.sessions.close(session, generation, self.now.steady);
        if !newest && !planted(Bug::OldCloseObeyed) {
            return;
        }
        for token in self.leases.tokens_of_session(session) {
            let decides = token.shard().is_none_or(|shard| self.shards.decides(shard));
            if !decides {
                // The new owner finds out by itself.
                continue;
            }
            if planted(Bug::ClosedSessionForgets) {
                drop(self.leases.remove(&token));
            } else {
                self.lose(&token, reason);
            }
        }
    }

    /// A session goes on. What its worker was given before and never received is given out again: it cannot come any more.
    pub(super) fn session_lives(&mut self, session: &SessionId, generation: u64, received: Option<Received>) {
        let newest = self.sessions.lives(session, generation, self.now.steady);
        let Some(received) = received.filter(|_| newest) else {
            return;
        };
        self.sessions.received(session, received);
        for token in self.leases.tokens_of_session(session) {
            let decides = token.shard().is_none_or(|shard| self.shards.decides(shard));
            if decides && self.sessions.never_came(session, &token) {
                self.stats.never_came += 1;
                self.unheard(&token);
            }
        }
    }
}
