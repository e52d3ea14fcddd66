//! Taking over: what is live is revived, attempts that were running are given back, and everything that is owed is sent
//! again. The same after a restart, a crash, and the loss of the shards to somebody else.

use std::sync::Arc;

use nexus_engine::planted::{Bug, planted};
use nexus_engine::{Command, Execution, Plan, TaskState, resume};

use super::core::{Core, Now};
use super::live::{Live, restore};
use crate::store::{ExecutionRow, TaskRow};

/// What was found live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Executions that go on.
    pub executions: u32,
    /// Their tasks that have ended already and will not run again.
    pub finished_tasks: u32,
    /// Attempts that were running and will be made again.
    pub interrupted: u32,
    /// Executions that cannot go on; the log says why.
    pub broken: u32,
}

impl Core {
    /// Takes a stored execution into memory and lets it go on.
    ///
    /// # Errors
    /// When what is stored does not fit together.
    pub fn revive(
        &mut self,
        row: ExecutionRow,
        tasks: Vec<TaskRow>,
        plan: Arc<Plan>,
        recovered: &mut Recovered,
        now: Now,
    ) -> Result<(), String> {
        self.now = now;
        let params = serde_json::from_str(&row.params).map_err(|error| format!("its params: {error}"))?;
        let id = row.id;
        let mut execution = Execution::new(id.to_string(), plan, Arc::new(params), id.seed(), row.created_at);
        execution.slice = self.limits.slice;
        execution.state = row.state;
        execution.closing = row.closing;
        execution.closing_reason = row.closing_reason;
        execution.sequence = row.sequence;
        execution.started_at = row.started_at;
        let mut bytes = row.params.len() as u64;
        for task in tasks {
            let position = task.position as usize;
            let slot = execution
                .tasks
                .get_mut(position)
                .ok_or("it has more tasks than its revision")?;
            recovered.finished_tasks += u32::from(task.state.is_terminal());
            restore(slot, task);
            if !execution.plan.tasks[position].wanted {
                slot.output = None;
            }
            bytes += slot.output.as_ref().map_or(0, |output| output.text().len() as u64);
        }
        execution.rebuild();
        recovered.executions += 1;
        let mut live = Live::new(id, execution, row.labels, row.traceparent);
        live.bytes = bytes;
        self.load.add(live.size());
        self.executions.insert(id, live);
        recovered.interrupted += self.give_back_running(id);
        let owed = self
            .executions
            .get(&id)
            .map(|live| resume(&live.execution, now.wall))
            .unwrap_or_default();
        self.release_later(id, owed);
        Ok(())
    }

    /// Ends the leases of a former owner: nobody knows them any more.
    fn give_back_running(&mut self, id: crate::ids::ExecutionId) -> u32 {
        let Some(live) = self.executions.get(&id) else {
            return 0;
        };
        let running = (0_u32..)
            .zip(&live.execution.tasks)
            .filter(|(_, task)| task.state == TaskState::Running && !planted(Bug::RunningForgottenOnReload));
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
            drop(self.decide(id, lose, true));
        }
        u32::try_from(running.len()).unwrap_or(u32::MAX)
    }
}
