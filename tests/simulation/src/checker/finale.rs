//! What must hold once the faults are over and everything had its time.

use std::collections::BTreeMap;

use nexus_execution_store::ExecutionId;
use nexus_execution_store::memory::MemoryStore;

use super::Checker;

impl Checker {
    /// Whether every execution that is stored has ended.
    #[must_use]
    pub fn all_ended(&self) -> bool {
        self.shadows.values().all(|shadow| shadow.execution.state.is_terminal())
    }

    /// I1 and I2 at the end. `acknowledged` are the executions that clients were told of, by key.
    pub fn finish(&mut self, store: &MemoryStore, acknowledged: &BTreeMap<String, ExecutionId>) {
        let stuck: Vec<String> = self
            .shadows
            .iter()
            .filter(|(_, shadow)| !shadow.execution.state.is_terminal())
            .map(|(id, shadow)| {
                let states: Vec<String> = shadow
                    .execution
                    .tasks()
                    .iter()
                    .map(|(_, task)| format!("{:?}/{}", task.state, task.leases))
                    .collect();
                format!("{id} is {:?}: {}", shadow.execution.state, states.join(" "))
            })
            .collect();
        for stuck in stuck {
            self.breach("I2 liveness", stuck);
        }
        self.the_feed_tells_everything_once(store);
        for (key, id) in acknowledged {
            let stored = store.look(*id, |stored| stored.is_some());
            self.require(stored, "I1 durable start", || {
                format!("{id} was acknowledged and is gone")
            });
            let known = store.request_now(key).map(|(id, _)| id);
            self.require(known == Some(*id), "I1 one execution per key", || {
                format!("key {key} gave {id}, and the store says {known:?}")
            });
        }
        let mut by_key: BTreeMap<&str, Vec<ExecutionId>> = BTreeMap::new();
        for id in self.shadows.keys() {
            if let Some(key) = self.asked.get(id).filter(|key| !key.is_empty()) {
                by_key.entry(key).or_default().push(*id);
            }
        }
        let doubled: Vec<String> = by_key
            .into_iter()
            .filter(|(_, ids)| ids.len() > 1)
            .map(|(key, ids)| format!("key {key} started {ids:?}"))
            .collect();
        for doubled in doubled {
            self.breach("I1 one execution per key", doubled);
        }
    }
}
