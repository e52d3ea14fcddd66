//! Taking over: what is live is loaded, attempts that were running are given back, and everything that is owed is sent
//! again. The same after a restart, a crash, and the loss of the shards to somebody else.

use std::sync::Arc;

use nexus_engine::{Command, Execution, TaskState, decide, resume};

use super::actor::Actor;
use super::live::{Live, restore};
use super::messages::OwnerError;
use crate::ids::ExecutionId;
use crate::store::{ExecutionRow, TaskRow};

/// Executions loaded at a time.
const PAGE: u32 = 200;

/// What was found live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Executions that go on.
    pub executions: u32,
    /// Their tasks that have ended already and will not run again.
    pub finished_tasks: u32,
    /// Attempts that were running and will be made again.
    pub interrupted: u32,
}

impl Actor {
    /// Loads every live execution into memory.
    pub(super) async fn load(&mut self) -> Result<Recovered, OwnerError> {
        let mut recovered = Recovered::default();
        let mut after = None;
        loop {
            let page = self.dependencies.store.open_executions(after, PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(recovered);
            };
            after = Some(last.id);
            for (row, tasks) in page {
                let id = row.id;
                if let Err(error) = self.revive(row, tasks, &mut recovered).await {
                    // One that cannot be revived must not keep the others from going on.
                    tracing::error!(execution.id = %id, %error, "an execution cannot go on");
                }
            }
        }
    }

    async fn revive(
        &mut self,
        row: ExecutionRow,
        tasks: Vec<TaskRow>,
        recovered: &mut Recovered,
    ) -> Result<(), String> {
        let loaded = self.dependencies.plans.revision(&row.workflow, row.revision).await;
        let loaded = loaded.map_err(|error| error.to_string())?;
        let params = serde_json::from_str(&row.params).map_err(|error| format!("its params: {error}"))?;
        let id = row.id;
        let mut execution = Execution::new(
            id.to_string(),
            Arc::clone(&loaded.plan),
            Arc::new(params),
            id.seed(),
            row.created_at,
        );
        execution.state = row.state;
        execution.closing = row.closing;
        execution.closing_reason = row.closing_reason;
        execution.sequence = row.sequence;
        execution.started_at = row.started_at;
        for task in tasks {
            let position = task.position as usize;
            let slot = execution
                .tasks
                .get_mut(position)
                .ok_or("it has more tasks than its revision")?;
            recovered.finished_tasks += u32::from(task.state.is_terminal());
            restore(slot, task);
        }
        execution.rebuild();
        recovered.executions += 1;
        let live = Live {
            id,
            execution,
            labels: row.labels,
            traceparent: row.traceparent,
            written: row.sequence,
            events: Vec::new(),
            dirty: std::collections::BTreeSet::new(),
            request: None,
            timers: Vec::new(),
            closed: false,
        };
        self.executions.insert(id, live);
        recovered.interrupted += self.give_back_running(id);
        let owed = self
            .executions
            .get(&id)
            .map(|live| resume(&live.execution))
            .unwrap_or_default();
        self.pending.release_effects(id, owed);
        Ok(())
    }

    /// Ends the leases of a former owner: nobody knows them any more.
    fn give_back_running(&mut self, id: ExecutionId) -> u32 {
        let now = (self.dependencies.clock)();
        let Some(live) = self.executions.get_mut(&id) else {
            return 0;
        };
        let running = (0_u32..)
            .zip(&live.execution.tasks)
            .filter(|(_, task)| task.state == TaskState::Running);
        let running: Vec<(u32, u32)> = running.map(|(position, task)| (position, task.leases)).collect();
        for (task, attempt) in &running {
            let reason = "NEXUS was restarted while the attempt was running".to_owned();
            let lose = Command::Lose {
                task: *task,
                attempt: *attempt,
                reason,
                counted: false,
            };
            // The effects are left alone: what the execution is owed is derived once, at the end.
            if let Ok(transition) = decide(&mut live.execution, lose, now) {
                live.record(&transition);
                self.pending.mark(id, true);
            }
        }
        u32::try_from(running.len()).unwrap_or(u32::MAX)
    }
}
