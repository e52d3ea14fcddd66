//! Executions in which a change was refused that no transition allows: a bug of the engine. What is in memory of one may be
//! half of a decision, and what waits to be stored may rest on it; so the owner starts over from the store, where all is
//! whole, and puts that execution aside. The others go on.

use std::collections::BTreeMap;

use nexus_engine::Rejection;
use nexus_execution_store::ExecutionId;

use super::core::Core;

/// Those that were found since the process began.
#[derive(Debug, Default)]
pub(super) struct BrokenOnes {
    /// With the change that was refused.
    pub(super) known: BTreeMap<ExecutionId, String>,
    /// One that was found just now: until the owner has started over nothing is stored.
    pub(super) new: Option<String>,
}

impl BrokenOnes {
    /// The owner starts over.
    pub(super) fn seen(self) -> Self {
        Self { new: None, ..self }
    }
}

impl Core {
    /// An execution turned out to be broken.
    pub(super) fn is_broken(&mut self, id: ExecutionId) -> Rejection {
        let live = self.executions.get(&id);
        let refused = live.and_then(|live| live.execution.broken()).map(ToString::to_string);
        let why = format!("a bug: {}", refused.unwrap_or_default());
        tracing::error!(execution.id = %id, why, "a change was refused; the execution is put aside");
        self.broken.new = Some(format!("execution {id}: {why}"));
        self.broken.known.insert(id, why);
        Rejection::Broken
    }

    /// Why everything in memory has to be loaded again, if it has to be.
    #[must_use]
    pub fn must_start_over(&self) -> Option<&str> {
        self.broken.new.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::super::base::Now;
    use super::super::live::tests::live;
    use super::super::recover::Recovered;
    use super::*;
    use nexus_execution_store::Fence;
    use nexus_execution_store::Ids;

    #[test]
    fn what_is_broken_is_put_aside_and_nothing_is_stored_before_that() {
        let now = Now { wall: 0, steady: 0 };
        let fence = Fence {
            owner: uuid::Uuid::nil(),
            epoch: 1,
        };
        let mut core = Core::shared(fence, Ids::system(), super::super::Limits::default(), now);
        let live = live();
        let (id, row) = (live.id, live.row());
        let plan = std::sync::Arc::clone(live.execution.plan());
        core.executions.insert(id, live);
        core.pending.mark(id, true, 0);
        assert!(core.must_start_over().is_none());
        assert_eq!(core.is_broken(id), Rejection::Broken);
        assert!(core.must_start_over().is_some() && core.begin_commit(now).is_none());
        assert!(core.last_commit().1.is_empty());
        core.start_over(fence, now);
        assert!(core.must_start_over().is_none(), "the others go on");
        let revived = core.revive(row, Vec::new(), plan, &mut Recovered::default(), now);
        assert!(revived.is_err_and(|why| why.contains("a bug")));
    }
}
