//! The group commit: what is to be stored, and what happens once it is.

use nexus_execution_store::{Change, Fence};

use super::Core;
use crate::base::Now;
use crate::outputs::Output;

impl Core {
    /// Takes what waits as one batch, if there is any and no other is under way. The caller writes it and says how that
    /// ended: [`Core::committed`] or [`Core::start_over`].
    pub fn begin_commit(&mut self, now: Now) -> Option<(Fence, Vec<Change>)> {
        self.see(now);
        (self.broken.news().is_none() && self.commits.is_due(now.steady)).then(|| self.gather())
    }

    /// Takes what waits, due or not: the last batch before the end.
    pub fn last_commit(&mut self) -> (Fence, Vec<Change>) {
        if self.broken.news().is_some() {
            return (self.commits.fence(), Vec::new());
        }
        self.gather()
    }

    fn gather(&mut self) -> (Fence, Vec<Change>) {
        let leases = &self.leases;
        let dirty = self.commits.begin();
        let mut changes = Vec::with_capacity(dirty.len());
        for id in dirty {
            changes.extend(self.executions.take_change(*id, |task| leases.key_of(*id, task)));
        }
        (self.commits.fence(), changes)
    }

    /// The batch is stored: now everybody may know, and its effects are brought about.
    pub fn committed(&mut self, now: Now) {
        self.see(now);
        let Some((executions, releases)) = self.commits.end() else {
            return;
        };
        for id in &executions {
            if let Some(live) = self.executions.get_mut(*id) {
                live.writing.clear();
                let (sequence, over) = (live.written, live.written_over);
                self.outputs.push(Output::Stored {
                    id: *id,
                    sequence,
                    over,
                });
            }
        }
        self.release(releases);
        for id in executions {
            self.forget_if_done(id);
        }
    }
}
