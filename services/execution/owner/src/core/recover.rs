//! Taking over: what is live is revived, attempts that were running are given back, and everything that is owed is sent
//! again. The same after a restart, a crash, and the loss of the shards to somebody else.

use std::sync::Arc;

use nexus_engine::planted::{Bug, planted};
use nexus_engine::{Command, Execution, Plan, TaskKey, TaskState, attempt_deadline, resume};
use nexus_execution_store::{ExecutionId, ExecutionRow, LeaseKey, TaskRow};

use super::Core;
use super::granting::given_back;
use crate::base::Now;
use crate::leases::Lease;
use crate::live::{Live, record, task_record};
use crate::messages::TokenSubject;
use crate::silences::CHANCE;

/// What was found live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Executions that go on.
    pub executions: u32,
    /// Their tasks that have ended already and will not run again.
    pub finished_tasks: u32,
    /// Attempts that were running and will be made again.
    pub interrupted: u32,
    /// Attempts that are running and go on.
    pub taken_over: u32,
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
        self.see(now);
        if let Some(why) = self.broken.reason(row.id) {
            return Err(why.to_owned());
        }
        let params = serde_json::from_str(&row.params).map_err(|error| format!("its params: {error}"))?;
        let id = row.id;
        let mut bytes = row.params.len() as u64;
        let (mut leases, mut records) = (Vec::new(), Vec::with_capacity(tasks.len()));
        for mut task in tasks {
            leases.extend(task.lease.take().map(|key| (TaskKey::numbered(task.position), key)));
            recovered.finished_tasks += u32::from(task.state.is_terminal());
            records.push((TaskKey::numbered(task.position), task_record(task)));
        }
        let (name, record) = (id.to_string(), record(&row));
        let execution = Execution::restore(name, plan, Arc::new(params), id.seed(), record, records)
            .map_err(|refused| refused.to_string())?
            .with_slice(self.limits.slice);
        let outputs = execution.tasks().iter().filter_map(|(_, task)| task.output.as_ref());
        bytes += outputs.map(|output| output.text().len() as u64).sum::<u64>();
        recovered.executions += 1;
        self.aside.forget(|aside| aside == id);
        let mut live = Live::new(id, execution, row.namespace, row.labels, row.traceparent);
        live.bytes = bytes;
        self.executions.insert(live);
        if self.lasting_leases {
            for (task, key) in leases {
                if self.sessions.never_came(&key.session, &key.token) {
                    self.give_back_unheard(id, task);
                } else {
                    recovered.taken_over += u32::from(self.take_over(id, task, key));
                }
            }
        }
        recovered.interrupted += self.give_back_running(id);
        let owed = self
            .executions
            .get(id)
            .map(|live| resume(&live.execution, now.wall))
            .unwrap_or_default();
        self.release_later(id, owed);
        Ok(())
    }

    /// Takes a lease over that a former owner gave. Its worker has the whole length of a lease to make itself heard,
    /// or what is left of it when it was silent before.
    fn take_over(&mut self, id: ExecutionId, task: TaskKey, key: LeaseKey) -> bool {
        let Now { wall, steady } = self.now;
        let Some(live) = self.executions.get(id) else {
            return false;
        };
        let current = &live.execution.tasks()[task];
        if current.state != TaskState::Running {
            return false;
        }
        let started = current.attempt_started_at.unwrap_or(wall).min(wall);
        let left = attempt_deadline(&live.execution, task, started)
            .saturating_sub(wall)
            .max(0);
        let cancelled = live.execution.closing.map(|_| live.execution.closing_reason.clone());
        let subject = TokenSubject {
            execution: id,
            task,
            attempt: current.leases,
        };
        let (mut left_of_lease, silent) = self.silences.left_of(&key.token, steady);
        if self.sessions.is_closed(&key.session, steady) {
            // It may have come back, and this owner may not have heard of it: only silence from now on proves anything.
            left_of_lease = left_of_lease.min(CHANCE);
        }
        let length = if planted(Bug::TakenOverNeverExpires) {
            i64::MAX
        } else {
            left_of_lease
        };
        let lease = Lease {
            subject,
            session: key.session,
            expires_at: steady.saturating_add(length),
            overdue_at: steady.saturating_add(left),
            logged: 0,
            cancelled,
            silent,
        };
        self.leases.insert(key.token, lease);
        true
    }

    /// A former owner leased a task to a worker that never heard of it.
    fn give_back_unheard(&mut self, id: ExecutionId, task: TaskKey) {
        let live = self.executions.get(id);
        if let Some(attempt) = live
            .and_then(|live| live.execution.tasks().get(task))
            .map(|task| task.leases)
        {
            // The effects are left alone: what the execution is owed is derived once, at the end.
            drop(self.decide(id, given_back(task, attempt), true));
        }
    }

    /// Ends the leases of a former owner that nobody knows any more.
    fn give_back_running(&mut self, id: ExecutionId) -> u32 {
        let Some(live) = self.executions.get(id) else {
            return 0;
        };
        let running = live.execution.tasks().iter().filter(|(key, task)| {
            task.state == TaskState::Running
                && self.leases.token_of(id, *key).is_none()
                && !planted(Bug::RunningForgottenOnReload)
        });
        let running: Vec<(TaskKey, u32)> = running.map(|(key, task)| (key, task.leases)).collect();
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

#[cfg(test)]
mod tests;
