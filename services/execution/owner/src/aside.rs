//! Executions that are live in the store and not in memory, because their revision cannot be had at present or they cannot
//! go on. Nothing is decided about them, and nobody is told that they have ended: whoever asks has to ask again.

use std::collections::{BTreeMap, HashMap};

use nexus_execution_store::{ExecutionId, LeaseKey, LeaseToken};

/// What was put aside.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// With the reason.
    executions: BTreeMap<ExecutionId, String>,
    /// The leases of their tasks, which their workers still hold.
    tokens: HashMap<LeaseToken, ExecutionId>,
}

impl Aside {
    /// Puts a stored execution aside.
    pub(crate) fn put(&mut self, id: ExecutionId, leases: Vec<LeaseKey>, reason: &str) {
        self.executions.insert(id, reason.to_owned());
        let tokens = leases.into_iter().map(|lease| (lease.token, id));
        self.tokens.extend(tokens);
    }

    pub(crate) fn holds_token(&self, token: &LeaseToken) -> bool {
        self.tokens.contains_key(token)
    }

    /// Why an execution was put aside, if it was.
    pub(crate) fn reason(&self, id: ExecutionId) -> Option<&str> {
        self.executions.get(&id).map(String::as_str)
    }

    /// Some are in memory now, or another owner's.
    pub(crate) fn forget(&mut self, gone: impl Fn(ExecutionId) -> bool) {
        if self.executions.is_empty() {
            return;
        }
        self.executions.retain(|id, _| !gone(*id));
        self.tokens.retain(|_, id| !gone(*id));
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.executions.is_empty() && self.tokens.is_empty()
    }
}
