//! How owners write their batches: over a store that fails, stalls and loses answers.

use nexus_execution_owner::commit::{Remedy, remedy};
use nexus_execution_store::{SHARDS, StoreError};

use crate::owners::Writing;
use crate::world::{Happening, World};

impl World {
    /// Hands a batch to the store.
    pub fn submit(&mut self, number: u64) {
        let stalled = self.faulty(150);
        self.counts.commits_stalled += u64::from(stalled);
        let wait = if stalled {
            self.rng.i64(500_000..4_000_000)
        } else {
            self.rng.i64(100..3_000)
        };
        self.after(wait, Happening::Apply(number));
    }

    /// The store does what it was asked, or does not, or does it and says that it did not.
    pub fn apply(&mut self, number: u64) {
        let refuse = self.faulty(60);
        let ambiguous = self.faulty(60);
        let Some(owner) = self.owner(number) else { return };
        let Some(mut writing) = owner.writing.take() else {
            return;
        };
        writing.tries += 1;
        let result = if refuse {
            self.counts.commits_failed += 1;
            Err(away())
        } else {
            let result = self.write(&writing);
            match result {
                Ok(()) if ambiguous => {
                    self.counts.commits_ambiguous += 1;
                    Err(away())
                }
                other => other,
            }
        };
        self.trace(|| format!("store: batch of owner {number}: {result:?}"));
        if let Some(owner) = self.owner(number) {
            owner.writing = Some(writing);
        }
        let wait = self.rng.i64(50..1_000);
        self.after(wait, Happening::Written(number, result));
    }

    pub fn write(&mut self, writing: &Writing) -> Result<(), StoreError> {
        let Writing { fence, changes, .. } = writing;
        let Some(first) = changes.first() else { return Ok(()) };
        let before = self.store.look(first.execution.id, |stored| {
            stored.map_or(0, |stored| stored.row.sequence)
        });
        let result = self.store.commit_now(*fence, changes);
        match &result {
            Ok(()) if before != first.execution.sequence => {
                self.counts.commits += 1;
                let store = std::sync::Arc::clone(&self.store);
                self.checker.committed(*fence, changes, &store, &mut self.counts);
            }
            // The only owner there is may not be refused: nobody else has written.
            Err(error @ (StoreError::Conflict { .. } | StoreError::Database(_)))
                if fence.epoch == self.newest_epoch =>
            {
                self.checker
                    .breach("I9 single writer", format!("the store refused its owner: {error}"));
            }
            _ => {}
        }
        result
    }

    /// The store's answer reaches the owner.
    pub fn written(&mut self, number: u64, result: Result<(), StoreError>) {
        let now = self.now();
        let Some(owner) = self.owner(number) else { return };
        let tries = owner.writing.as_ref().map_or(1, |writing| writing.tries);
        let remedy = match &result {
            Ok(()) => Remedy::Ignore,
            Err(error) => remedy(error, tries),
        };
        match remedy {
            Remedy::Ignore => {
                owner.writing = None;
                if self.faulty(120) {
                    self.counts.owners_killed_unreleased += 1;
                    return self.kill_owner(number);
                }
                let Some(owner) = self.owner(number) else { return };
                owner.core.committed(now);
                self.pump(number);
            }
            Remedy::Again(wait) => {
                let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
                self.after(wait, Happening::Apply(number));
            }
            Remedy::StartOver => self.shut_out(number),
        }
    }

    /// The owner learns that the shards are in other hands: it ends, or takes them back.
    pub fn shut_out(&mut self, number: u64) {
        self.counts.zombies_fenced += 1;
        if self.rng.bool() {
            self.trace(|| format!("owner {number} was shut out and ends"));
            return self.remove_owner(number);
        }
        self.counts.owners_started_over += 1;
        let fence = self.store.claim_now(self.ids.random());
        self.newest_epoch = self.newest_epoch.max(fence.epoch);
        self.trace(|| format!("owner {number} was shut out and claims epoch {}", fence.epoch));
        let (now, lasting) = (self.now(), self.lasting);
        self.active = number;
        if let Some(owner) = self.owner(number) {
            let stats = owner.core.stats();
            owner.core.start_over(fence, now);
            if lasting {
                (0..SHARDS).for_each(|shard| owner.core.adopt(shard));
            }
            owner.epoch = fence.epoch;
            owner.writing = None;
            owner.loading = true;
            self.count(stats);
            self.answer(number);
            self.after(1_000, Happening::Load(number));
        }
    }
}

/// What a store says that cannot be reached.
fn away() -> StoreError {
    StoreError::Database(nexus_storage::Error::File {
        path: "the simulated store".into(),
        source: std::io::Error::other("away"),
    })
}
