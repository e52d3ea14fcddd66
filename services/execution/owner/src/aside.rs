//! Executions that are live in the store and not in memory, because their revision cannot be had at present or they cannot
//! go on. Nothing is decided about them, and nobody is told that they have ended: whoever asks has to ask again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use nexus_execution_store::{ExecutionId, LeaseKey};

use super::core::Core;

/// What was put aside.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// With the reason.
    executions: BTreeMap<ExecutionId, String>,
    /// The leases of their tasks, which their workers still hold.
    tokens: HashMap<Arc<str>, ExecutionId>,
}

impl Aside {
    pub(super) fn holds_token(&self, token: &str) -> bool {
        self.tokens.contains_key(token)
    }

    /// Why an execution was put aside, if it was.
    pub(super) fn reason(&self, id: ExecutionId) -> Option<&str> {
        self.executions.get(&id).map(String::as_str)
    }

    /// Some are in memory now, or another owner's.
    pub(super) fn forget(&mut self, gone: impl Fn(ExecutionId) -> bool) {
        if self.executions.is_empty() {
            return;
        }
        self.executions.retain(|id, _| !gone(*id));
        self.tokens.retain(|_, id| !gone(*id));
    }
}

impl Core {
    /// Puts a stored execution aside.
    pub fn put_aside(&mut self, id: ExecutionId, leases: Vec<LeaseKey>, reason: &str) {
        self.aside.executions.insert(id, reason.to_owned());
        let tokens = leases.into_iter().map(|lease| (lease.token, id));
        self.aside.tokens.extend(tokens);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::sync::oneshot;

    use super::super::base::Now;
    use super::super::messages::{Acceptance, Message, OwnerError, SessionRef, Verdict};
    use super::*;
    use nexus_execution_store::Ids;

    #[test]
    fn nobody_is_told_the_end_of_what_was_put_aside() {
        let now = Now { wall: 0, steady: 0 };
        let ids = Ids::system();
        let fence = nexus_execution_store::Fence {
            owner: uuid::Uuid::nil(),
            epoch: 1,
        };
        let mut core = Core::shared(fence, ids.clone(), super::super::Limits::default(), now);
        let id = ids.execution(None);
        core.adopt(id.shard());
        core.serve(id.shard());
        let token = ids.token(id.shard(), 0);
        let lease = LeaseKey {
            token: Arc::clone(&token),
            session: "s".into(),
        };
        core.put_aside(id, vec![lease], "definitions cannot be reached");

        let (reply, mut cancelled) = oneshot::channel();
        let reason = String::new();
        core.handle(Message::Cancel { id, reason, reply }, now);
        let cancelled = cancelled
            .try_recv()
            .expect("an answer")
            .expect_err("it cannot be cancelled now");
        assert!(matches!(cancelled, OwnerError::Definitions(_)), "{cancelled:?}");

        let (reply, mut verdicts) = oneshot::channel();
        let heartbeat = Message::Heartbeat {
            session: "s".into(),
            generation: 0,
            tokens: vec![token.to_string()],
            reply,
        };
        core.handle(heartbeat, now);
        assert_eq!(
            verdicts.try_recv().expect("an answer"),
            [Verdict::Unknown],
            "its worker goes on"
        );

        let (reply, mut reported) = oneshot::channel();
        let report = Message::Report {
            reports: vec![(token.to_string(), nexus_engine::Outcome::Cancelled)],
            session: SessionRef {
                session: "s".into(),
                worker: "w".into(),
                queues: Arc::from([]),
                generation: 0,
            },
            free_slots: 0,
            reply,
        };
        core.handle(report, now);
        let reported = reported.try_recv().expect("an answer");
        assert_eq!(
            reported.accepted,
            [Acceptance::NotOwner],
            "its result is asked for again"
        );

        core.disown(&BTreeSet::from([id.shard()]));
        assert!(core.aside.executions.is_empty() && core.aside.tokens.is_empty());
    }
}
